// Package token owns what a session is: the claims, the keys that sign them
// and when each key does what, and the one decision whether a token is ours
// and valid now. Everything in it is a function of values and a time; it never
// asks for the time itself.
//
// It does not know HTTP, cookies, files, the environment, logs or metrics, nor
// how anybody proved who they are.
package token
