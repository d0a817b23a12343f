package login

import (
	"errors"
	"fmt"
	"strings"

	"authsvc/token"

	"golang.org/x/crypto/bcrypt"
)

// DefaultCost is the cost of a new hash: about a quarter of a second of one
// core of a small server, for us and for who guesses. Each step doubles it.
const DefaultCost = 12

// The costs that a password file may have. Apache's own tool defaults to 5, so
// low ones are taken as they are. Above 16 a guess costs several seconds of a
// core, and a handful of guesses would keep everybody else from signing in.
const (
	minCost = bcrypt.MinCost
	maxCost = 16
)

// maxPassword is how much bcrypt reads, in bytes. It would ignore the rest, and
// two passwords that differ only there would be one.
const maxPassword = 72

// Hash returns the line of a password file for a user, without a newline. The
// error wraps [token.ErrIdentity] or is [token.ErrPasswordTooLong] where these
// are the reason; an empty password, one with a NUL byte, and a cost outside
// 4 to 16 are refused too.
func Hash(user, password string, cost int) (line string, err error) {
	user = token.CanonicalUser(user)
	if err := (token.Identity{User: user}).Valid(); err != nil {
		return "", err
	}
	switch {
	case strings.Contains(user, ":"):
		return "", fmt.Errorf("%w: user name %q has a colon, which ends the name in a password file", token.ErrIdentity, user)
	case strings.HasPrefix(user, "#"):
		return "", fmt.Errorf("%w: user name %q begins with #, as a comment in a password file does", token.ErrIdentity, user)
	case len(password) > maxPassword:
		return "", token.ErrPasswordTooLong
	case strings.ContainsRune(password, 0):
		return "", errors.New("password has a NUL byte, where other implementations end it")
	case password == "":
		return "", errors.New("password is empty")
	case cost < minCost || cost > maxCost:
		return "", fmt.Errorf("bcrypt cost %d is not within %d to %d", cost, minCost, maxCost)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		return "", err
	}
	// $2y$ is what Apache's tool writes. It names the same algorithm as Go's
	// $2a$; the letters tell apart bugs that neither has.
	return user + ":$2y$" + strings.TrimPrefix(string(hash), "$2a$"), nil
}
