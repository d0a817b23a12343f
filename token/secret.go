package token

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// MinSecret is the least length of a master secret in bytes: less than the
// output of the hash that derives keys from it would be the weakest part.
const MinSecret = 32

// Secret is a master secret and the instant from which it signs. Keys are
// derived from it and it is used for nothing else. It prints as its instant.
type Secret struct {
	SignsFrom time.Time // the zero time: always did
	value     string
}

// NewSecret takes any string of at least [MinSecret] bytes as it is.
func NewSecret(value string, signsFrom time.Time) (Secret, error) {
	if len(value) < MinSecret {
		return Secret{}, fmt.Errorf("secret is %d bytes long, at least %d are needed", len(value), MinSecret)
	}
	return Secret{SignsFrom: signsFrom, value: value}, nil
}

func (s Secret) String() string { return "secret from " + s.SignsFrom.Format(time.RFC3339) }

// Format is asked for every verb: %d would print a field that String hides.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// ParseSecrets reads a secrets file: a line per secret,
//
//	<RFC 3339 instant from which it signs> <secret>
//
// in any order; blank lines and lines that begin with # are skipped. The
// secret is the rest of the line, at least [MinSecret] bytes. All problems are
// reported at once, by line number and without the secret's text.
func ParseSecrets(file []byte) ([]Secret, error) {
	var (
		secrets []Secret
		lines   = map[string]int{} // instant, and secret → line number
		errs    []error
	)
	in := bufio.NewScanner(bytes.NewReader(file))
	for n := 1; in.Scan(); n++ {
		text := strings.TrimSpace(in.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		instant, value := text, ""
		if i := strings.IndexAny(text, " \t"); i >= 0 {
			instant, value = text[:i], strings.TrimSpace(text[i:])
		}
		from, err := time.Parse(time.RFC3339, instant)
		if err != nil {
			// The bad word may be the secret itself, so it is not repeated.
			errs = append(errs, fmt.Errorf("line %d: does not begin with an RFC 3339 instant (write it with authsvc secret --signs-from=+10m)", n))
			continue
		}
		s, err := NewSecret(value, from)
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		// Two secrets of one instant would leave open which signs; one
		// secret of two instants, whether it was taken back in between.
		at := from.UTC().Format(time.RFC3339Nano)
		if first := max(lines[at], lines[value]); first > 0 {
			errs = append(errs, fmt.Errorf("line %d: same instant or same secret as line %d", n, first))
			continue
		}
		lines[at], lines[value] = n, n
		secrets = append(secrets, s)
	}
	if err := in.Err(); err != nil {
		errs = append(errs, err)
	}
	if len(secrets) == 0 && errs == nil {
		errs = append(errs, errors.New("no secret in it (write one with authsvc secret --signs-from=+0s)"))
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	slices.SortFunc(secrets, func(a, b Secret) int { return a.SignsFrom.Compare(b.SignsFrom) })
	return secrets, nil
}
