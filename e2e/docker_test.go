package e2e

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"authsvc/e2e/proc"
)

// maxImage is what the image may weigh.
const maxImage = 20 << 20

// TestDocker builds the Dockerfile with buildah, which needs no engine and,
// here, no network, and runs what comes out as a container engine would.
func TestDocker(t *testing.T) {
	b := newBuildah(t)
	b.build("v0.0.0-e2e")

	image := b.inspect()
	want := imageConfig{
		User:         "65532:65532",
		Entrypoint:   []string{"/authsvc"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Healthcheck:  healthcheck{Test: []string{"CMD", "/authsvc", "health"}},
	}
	if diff := cmp.Diff(want, image); diff != "" {
		t.Errorf("the image's configuration (-want +got):\n%s", diff)
	}

	t.Run("root filesystem", func(t *testing.T) { testRootFS(t, b.in(t)) })
	t.Run("version", func(t *testing.T) {
		b := b.in(t)
		p := b.run(b.container(), "/authsvc", "version")
		if status := p.Wait(); status != 0 || !strings.HasPrefix(p.Output(), "authsvc v0.0.0-e2e, ") {
			t.Errorf("authsvc version ended with %d and wrote:\n%s", status, p.Output())
		}
	})
	t.Run("service", func(t *testing.T) { testContainer(t, b.in(t), image) })
	// What the image itself sets must not make an unsafe start possible.
	for name, c := range map[string]struct{ env, want string }{
		"unconfigured":       {"", "AUTHSVC_LOGIN: not set"},
		"name login for all": {"AUTHSVC_LOGIN=name", ":8080 is an address that others can reach"},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.in(t)
			container := b.container()
			if c.env != "" {
				b.do("config", "--env", c.env, container)
			}
			p := b.run(container, image.Entrypoint...)
			if status := p.Wait(); status == 0 || !strings.Contains(p.Output(), c.want) {
				t.Errorf("ended with %d and without %q:\n%s", status, c.want, p.Output())
			}
		})
	}
}

// testRootFS finds the binary in the image and nothing else.
func testRootFS(t *testing.T, b *buildah) {
	// Running something in a container adds mount points, so it is a new one.
	root := b.do("mount", b.container())
	var files []string
	var size int64
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files, size = append(files, strings.TrimPrefix(path, root)+" "+info.Mode().String()), size+info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/authsvc -rwxr-xr-x"}, files); diff != "" {
		t.Errorf("the root filesystem (-want +got):\n%s", diff)
	}
	t.Logf("%d bytes of files, %d bytes of image", size, b.size())
	if b.size() > maxImage {
		t.Errorf("the image is %d bytes large, more than %d", b.size(), maxImage)
	}

	bin, err := elf.Open(filepath.Join(root, "authsvc"))
	if err != nil {
		t.Fatal(err)
	}
	defer bin.Close()
	for _, p := range bin.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is linked dynamically: it has %v", p.Type)
		}
	}
}

// testContainer signs in at a running container and ends it.
func testContainer(t *testing.T, b *buildah, image imageConfig) {
	public, admin := proc.FreeAddr(t), proc.FreeAddr(t)
	container := b.container()
	b.do("config",
		"--env", "AUTHSVC_LOGIN=name",
		// The container has the host's network, so these are the host's ports.
		"--env", "AUTHSVC_LISTEN="+public, "--env", "AUTHSVC_ADMIN_LISTEN="+admin,
		"--env", "AUTHSVC_BASE_URL=http://"+public, container)
	service := b.run(container, image.Entrypoint...)
	service.Answers("http://" + admin + "/readyz")

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Timeout: 10 * time.Second}
	for _, step := range []struct {
		path string
		form url.Values
		want string
	}{
		{"/login", url.Values{"user_name": {"ann"}}, "success"},
		{"/show", nil, "ann"},
	} {
		var answer *http.Response
		if step.form != nil {
			answer, err = client.PostForm("http://"+public+step.path, step.form)
		} else {
			answer, err = client.Get("http://" + public + step.path)
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), step.want) {
			t.Errorf("%s answers %s %q, %v, want 200 and %q", step.path, answer.Status, body, err, step.want)
		}
	}

	main := findProcess(t, "AUTHSVC_LISTEN="+public, image.Entrypoint)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", main.Pid))
	if err != nil {
		t.Fatal(err)
	}
	// Real, effective, saved and filesystem identity; and nothing that makes
	// an ordinary user more than that.
	for _, line := range []string{
		"Uid:\t65532\t65532\t65532\t65532\n", "Gid:\t65532\t65532\t65532\t65532\n",
		"CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
	} {
		if !bytes.Contains(status, []byte("\n"+line)) {
			t.Errorf("the process does not have %q:\n%s", line, status)
		}
	}

	if len(image.Healthcheck.Test) < 2 {
		t.Fatal("the image has no health check")
	}
	check := image.Healthcheck.Test[1:] // behind CMD
	if p := b.run(container, check...); p.Wait() != 0 {
		t.Errorf("%v of a running service fails:\n%s", check, p.Output())
	}
	// As an engine stops a container.
	if err := main.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := service.Wait(); status != 0 {
		t.Errorf("after SIGTERM the container ends with %d:\n%s", status, service.Output())
	}
	if p := b.run(container, check...); p.Wait() != 1 {
		t.Errorf("%v of a stopped service does not end with 1:\n%s", check, p.Output())
	}
}

// findProcess finds the one process with these arguments and this variable in
// its environment: it is a grandchild of the command that we started. It is
// killed when the test ends, in case that command could not.
func findProcess(t *testing.T, variable string, argv []string) *os.Process {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var found []*os.Process
	for _, dir := range dirs {
		// One that ends meanwhile has neither.
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		environ, _ := os.ReadFile(dir + "/environ")
		if string(cmdline) != strings.Join(argv, "\x00")+"\x00" ||
			!slices.Contains(strings.Split(string(environ), "\x00"), variable) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Kill() })
		found = append(found, p)
	}
	if len(found) != 1 {
		t.Fatalf("%d processes run %v with %s", len(found), argv, variable)
	}
	return found[0]
}

// imageConfig is what the test reads of an image's configuration.
type imageConfig struct {
	User         string
	Entrypoint   []string
	ExposedPorts map[string]struct{}
	Healthcheck  healthcheck
}

type healthcheck struct{ Test []string }

// buildah runs buildah on a storage of its own. Beside it buildah keeps a
// cache of what it knows about registries, which nothing here fills.
type buildah struct {
	t        *testing.T
	program  string
	options  []string
	env      []string
	dir      string
	deadline time.Time
}

const (
	goImage   = "localhost/authsvc-test-go"
	testImage = "localhost/authsvc-test"
)

func newBuildah(t *testing.T) *buildah {
	t.Helper()
	b := &buildah{t: t, program: proc.Program(t, "buildah"), dir: t.TempDir(), deadline: time.Now().Add(4 * time.Minute)}
	// vfs copies where other drivers mount, so it works in a container too
	// and leaves nothing mounted; the layers here are small.
	b.options = []string{"--root", b.path("storage"), "--runroot", b.path("run"), "--storage-driver", "vfs"}
	b.write("containers.conf", fmt.Sprintf("[network]\nnetwork_config_dir = %q\n", b.path("net")))
	if err := os.Mkdir(b.path("tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.env = []string{"CONTAINERS_CONF=" + b.path("containers.conf"), "TMPDIR=" + b.path("tmp")}
	t.Cleanup(func() { b.do("rm", "--all") })
	return b
}

// in is b for a subtest.
func (b buildah) in(t *testing.T) *buildah {
	b.t = t
	return &b
}

func (b *buildah) path(name string) string { return filepath.Join(b.dir, name) }

func (b *buildah) write(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// build builds the repository's Dockerfile.
func (b *buildah) build(version string) {
	b.t.Helper()
	root, goroot := goSays(b.t, "list", "-m", "-f", "{{.Dir}}"), goSays(b.t, "env", "GOROOT")
	modules, cache := goSays(b.t, "env", "GOMODCACHE"), goSays(b.t, "env", "GOCACHE")
	goSays(b.t, "mod", "download") // all of them: there is no network in the build

	// The image to build in has what "go" depends on of the official one, no
	// shell, and no Go: this machine's is mounted into it, 270 MB that need
	// not be copied. So are its modules, and its build cache, which saves
	// most of the build's time.
	if err := os.Mkdir(b.path("go"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.write("go/Dockerfile", `
FROM scratch
WORKDIR /tmp
ENV PATH=/usr/local/go/bin GOPATH=/go GOCACHE=/cache GOTOOLCHAIN=local GOPROXY=off
`)
	options := []string{"build", "--isolation", "chroot", "--format", "docker", "--layers=false", "--pull-never"}
	b.do(append(options, "--tag", goImage, b.path("go"))...)
	b.do(append(options, "--tag", testImage,
		"--build-arg", "GO_IMAGE="+goImage, "--build-arg", "VERSION="+version,
		"--volume", goroot+":/usr/local/go:ro", "--volume", modules+":/go/pkg/mod:ro", "--volume", cache+":/cache",
		root)...)
}

// do runs a command of buildah and returns what it printed.
func (b *buildah) do(args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithDeadline(context.Background(), b.deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.program, append(b.options, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir}, b.env...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	cmd.WaitDelay = 5 * time.Second // for what it leaves running if it is killed
	if e := cmd.Run(); e != nil {
		b.t.Fatalf("buildah %s: %v\n%s%s", strings.Join(args, " "), e, &out, &err)
	}
	return strings.TrimSpace(out.String())
}

// container makes a container of the image and returns its name.
func (b *buildah) container() string { return b.do("from", "--pull-never", testImage) }

// run starts a command in a container, as the image's user.
func (b *buildah) run(container string, argv ...string) *proc.Proc {
	return proc.Start(b.t, b.env, b.program,
		slices.Concat(b.options, []string{"run", "--isolation", "chroot", container, "--"}, argv)...)
}

// inspect returns the image's configuration.
func (b *buildah) inspect() imageConfig {
	b.t.Helper()
	var image struct {
		Docker struct{ Config imageConfig }
	}
	b.decode(b.do("inspect", "--type", "image", testImage), &image)
	return image.Docker.Config
}

// size returns what the image's layers weigh, uncompressed.
func (b *buildah) size() (n int64) {
	b.t.Helper()
	manifest := struct{ Layers []struct{ Size int64 } }{}
	b.decode(b.do("inspect", "--type", "image", "--format", "{{.Manifest}}", testImage), &manifest)
	for _, layer := range manifest.Layers {
		n += layer.Size
	}
	if n == 0 {
		b.t.Fatal("the image has no layers")
	}
	return n
}

func (b *buildah) decode(s string, v any) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(s), v); err != nil {
		b.t.Fatalf("buildah inspect: %v\n%s", err, s)
	}
}

// goSays runs the go command and returns what it printed.
func goSays(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}
