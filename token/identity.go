package token

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Identity is who a sign-in method says somebody is. It is what a session
// carries and what a proxy learns from a check.
type Identity struct {
	User   string   // how the method names them; the subject of the token
	Name   string   // for display; may be empty
	Email  string   // may be empty
	Groups []string // may be empty
}

// What a sign-in method answers when it does not return an Identity. They
// stand here because every method returns them and every caller branches on
// them, and neither side knows the other.
var (
	// ErrCredentials does not say which half was wrong: names are not to be
	// learned from it.
	ErrCredentials = errors.New("wrong user name or password")
	// ErrPasswordTooLong depends on the password alone, never on the user.
	ErrPasswordTooLong = errors.New("password is longer than the 72 bytes that bcrypt reads")
	// ErrBusy means that as many passwords are being checked as may be;
	// trying again in a second or two is right.
	ErrBusy = errors.New("too many passwords are being checked")
	// ErrIdentity is wrapped by every complaint of Identity.Valid.
	ErrIdentity = errors.New("unusable identity")
)

// maxField bounds each name in bytes, so that one field cannot fill a cookie.
const maxField = 255

// CanonicalUser returns the one spelling of a user name under which it is
// looked up, counted and signed: Unicode NFC, because the same name typed on
// two keyboards may differ in bytes (RFC 8265 §3.4 asks for the same).
// Case is kept: Apache's password files tell Bob from bob.
func CanonicalUser(name string) string { return norm.NFC.String(name) }

// Valid reports what makes id unfit to be signed or put into a header: names
// that are empty, too long, not printable, or not canonical; groups with a
// comma, which would read as two in Remote-Groups. The error wraps
// [ErrIdentity].
func (id Identity) Valid() error {
	if id.User == "" {
		return fmt.Errorf("%w: user name is empty", ErrIdentity)
	}
	if err := validField("user name", id.User); err != nil {
		return err
	}
	if CanonicalUser(id.User) != id.User {
		return fmt.Errorf("%w: user name %q is not in Unicode NFC", ErrIdentity, id.User)
	}
	if err := validField("name", id.Name); err != nil {
		return err
	}
	if err := validField("email", id.Email); err != nil {
		return err
	}
	for _, g := range id.Groups {
		if g == "" {
			return fmt.Errorf("%w: group name is empty", ErrIdentity)
		}
		if err := validField("group", g); err != nil {
			return err
		}
		if strings.Contains(g, ",") {
			return fmt.Errorf("%w: group %q has a comma, which separates groups in Remote-Groups", ErrIdentity, g)
		}
	}
	return nil
}

func validField(noun, s string) error {
	switch {
	case len(s) > maxField:
		return fmt.Errorf("%w: %s is %d bytes long, at most %d fit", ErrIdentity, noun, len(s), maxField)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: %s %q is not UTF-8", ErrIdentity, noun, s)
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("%w: %s %q begins or ends with a space", ErrIdentity, noun, s)
	}
	for _, r := range s {
		// IsPrint leaves the ASCII space as the only space and takes out
		// control characters and the invisible ones that reorder text.
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%w: %s %q has a character that does not print", ErrIdentity, noun, s)
		}
	}
	return nil
}
