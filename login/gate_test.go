package login

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/token"
)

func expectStats(t *testing.T, g *Gate, running, waiting int) {
	t.Helper()
	synctest.Wait()
	if r, w := g.Stats(); r != running || w != waiting {
		t.Errorf("Stats = %d running, %d waiting; want %d, %d", r, w, running, waiting)
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(2, 3)
		now, most := 0, 0
		release, done := make(chan struct{}), make(chan error)
		enter := make(chan struct{}, 1) // guards now and most
		enter <- struct{}{}
		work := func() {
			<-enter
			now++
			most = max(most, now)
			enter <- struct{}{}
			<-release
			<-enter
			now--
			enter <- struct{}{}
		}
		for range 5 {
			go func() { done <- g.Do(t.Context(), work) }()
		}
		expectStats(t, g, 2, 3)
		for range 4 {
			if err := g.Do(t.Context(), func() { t.Error("ran beyond the queue") }); err != token.ErrBusy {
				t.Errorf("Do with a full queue = %v; want token.ErrBusy", err)
			}
		}
		if n := g.Refused(); n != 4 {
			t.Errorf("Refused = %d; want 4", n)
		}
		release <- struct{}{}
		expectStats(t, g, 2, 2)
		close(release)
		for range 5 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if most != 2 {
			t.Errorf("%d ran at a time; want 2", most)
		}
		expectStats(t, g, 0, 0)
	})
}

func TestGateWaiterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1, 1)
		release := make(chan struct{})
		go g.Do(t.Context(), func() { <-release })
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := make(chan error)
		go func() { done <- g.Do(ctx, func() { t.Error("ran after its context ended") }) }()
		expectStats(t, g, 1, 1)
		if err := <-done; err != context.DeadlineExceeded {
			t.Errorf("Do = %v; want context.DeadlineExceeded", err)
		}
		expectStats(t, g, 1, 0) // its place is free again

		close(release)
		expectStats(t, g, 0, 0)
		for range 20 { // select takes either of two ready cases
			if err := g.Do(ctx, func() { t.Error("ran after its context ended") }); err != context.DeadlineExceeded {
				t.Errorf("Do with a free slot = %v; want context.DeadlineExceeded", err)
			}
		}
		if n := g.Refused(); n != 0 {
			t.Errorf("Refused = %d; want 0, as the queue was never full", n)
		}
	})
}

func TestGatePanic(t *testing.T) {
	g := NewGate(1, 0)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		g.Do(t.Context(), func() { panic("in a hash") })
	}()
	if err := g.Do(t.Context(), func() {}); err != nil {
		t.Errorf("Do after a panic = %v; want the slot back", err)
	}
}

func TestGateAlwaysHasASlot(t *testing.T) {
	if err := NewGate(0, -1).Do(t.Context(), func() {}); err != nil {
		t.Error(err)
	}
}

func TestCheckBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1, 0)
		h := NewHtpasswd(g)
		release := make(chan struct{})
		go g.Do(t.Context(), func() { <-release })
		synctest.Wait()
		for _, user := range []string{"known", "unknown"} {
			if _, err := h.Check(t.Context(), user, "x"); !errors.Is(err, token.ErrBusy) {
				t.Errorf("Check(%q) = %v; want token.ErrBusy", user, err)
			}
		}
		close(release)
	})
}
