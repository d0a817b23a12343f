package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"reflect"
	"time"
)

// check validates the configuration as serve would, files included, and prints
// what was understood.
func check(_ context.Context, p process) int {
	if !p.flags(flag.NewFlagSet("check", flag.ContinueOnError), 0) {
		return exitUsage
	}
	c, problems := parse(p.env)
	s, problems := build(c, problems, slog.New(slog.DiscardHandler))
	if len(problems) > 0 {
		return p.misconfigured(problems)
	}
	v := reflect.ValueOf(*c)
	for f := range fields() {
		mark := " "
		if c.given[variable(f)] {
			mark = "*"
		}
		value := v.FieldByIndex(f.Index).Interface()
		if m, ok := value.(interface{ MarshalText() ([]byte, error) }); ok {
			text, _ := m.MarshalText()
			value = string(text)
		}
		if !c.given[variable(f)] && f.Type == reflect.TypeFor[secret]() {
			value = ""
		}
		fmt.Fprintf(p.stdout, "%s %-27s %v\n", mark, variable(f), value)
	}
	fmt.Fprintf(p.stdout, "\n(* is set, the others are defaults)\n\nsession cookie: %s\n", c.cookie().Example())
	for _, k := range s.sessions.Keys(time.Now()) {
		fmt.Fprintf(p.stdout, "key %s: %s, signs from %s, retires %s\n", k.KID, k.State, k.SignsFrom.UTC().Format(time.RFC3339), k.Retires.UTC().Format(time.RFC3339))
	}
	for _, w := range c.warnings() {
		fmt.Fprintf(p.stdout, "warning: %s\n", w)
	}
	fmt.Fprintln(p.stdout, "the configuration is right")
	return exitOK
}
