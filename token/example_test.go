package token_test

import (
	"errors"
	"fmt"
	"time"

	"authsvc/token"
)

// Two replicas need nothing in common but the secret.
func ExampleAuthority_Verify() {
	now := time.Now()
	replica := func() *token.Authority {
		secret, err := token.NewSecret("any string of 32 bytes or more will do", time.Time{})
		if err != nil {
			panic(err)
		}
		a, err := token.New(token.Config{
			Algorithm: token.EdDSA, Secrets: []token.Secret{secret},
			Rotation: 24 * time.Hour, TTL: time.Hour, Max: 24 * time.Hour,
		}, now)
		if err != nil {
			panic(err)
		}
		return a
	}
	raw, _, err := replica().Mint(token.Identity{User: "letian", Groups: []string{"staff"}}, token.Grant{}, now)
	if err != nil {
		panic(err)
	}
	claims, err := replica().Verify(raw, now)
	fmt.Println(claims.Subject, claims.Groups, err)

	_, err = replica().Verify(raw[:len(raw)/2], now)
	fmt.Println(errors.Is(err, token.ErrMalformed))
	// Output:
	// letian [staff] <nil>
	// true
}
