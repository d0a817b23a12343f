// Package login owns the ways to find out who somebody is, one file for each:
// by name alone (name.go) and by a password file of Apache's (htpasswd.go).
//
// A method has two questions it answers:
//
//	Check(ctx, user, password)  who is this, at sign-in?
//	Lookup(user)                what is known of them now, at renewal?
//
// Check returns a [token.Identity], or [token.ErrCredentials],
// [token.ErrPasswordTooLong], [token.ErrBusy], the error of ctx, or an error
// that wraps [token.ErrIdentity]. Lookup costs no hashing; it is asked again
// as a session goes on, so that a removed user or a left group does not
// outlive the idle limit.
//
// The package reads no files, speaks no HTTP, and keeps no count of attempts:
// package reload brings the files, and slowing down who guesses is the
// caller's. It bounds how many passwords are hashed at a time ([Gate]).
package login
