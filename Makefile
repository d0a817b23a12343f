# Two commands do everything on a fresh machine: make run, make test.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The tutorial's sign-in by name alone, on loopback, unless the environment says otherwise.
run:
	AUTHSVC_LOGIN=$${AUTHSVC_LOGIN:-name} go run ./cmd/authsvc

test: packages lint
	go test -race -count=1 ./...

lint:
	@test -z "$$(gofmt -l .)" || { echo "gofmt -w these:"; gofmt -l .; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

# The real programs that the tests start.
packages:
	@e2e/packages.sh

.PHONY: run test lint packages
