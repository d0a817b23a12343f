package login

import (
	"context"
	"sync/atomic"

	"authsvc/token"
)

// Gate bounds the work that anybody may ask for without having signed in: a
// password costs a core for a quarter of a second, and a flood of attempts
// would otherwise starve the checks of those who have.
type Gate struct {
	running chan struct{} // one per function that runs
	inside  chan struct{} // one per function that runs or waits
	refused atomic.Uint64
}

// NewGate returns a Gate that runs slots functions at a time, at least one, and
// lets queue more wait for their turn.
func NewGate(slots, queue int) *Gate {
	slots, queue = max(slots, 1), max(queue, 0)
	return &Gate{
		running: make(chan struct{}, slots),
		inside:  make(chan struct{}, slots+queue),
	}
}

// Do waits for its turn and runs f. If the queue is full it returns
// [token.ErrBusy] at once, and if ctx ends before f's turn came, its error. A
// function that runs is not interrupted.
func (g *Gate) Do(ctx context.Context, f func()) error {
	select {
	case g.inside <- struct{}{}:
	default:
		g.refused.Add(1)
		return token.ErrBusy
	}
	defer func() { <-g.inside }()

	select {
	case g.running <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.running }()

	// Of two ready cases select takes either, and nobody waits for the answer.
	if err := ctx.Err(); err != nil {
		return err
	}
	f()
	return nil
}

// Stats returns how many functions run and how many wait.
func (g *Gate) Stats() (running, waiting int) {
	running = len(g.running)
	return running, max(0, len(g.inside)-running)
}

// Refused returns how often the queue was full since the start.
func (g *Gate) Refused() uint64 { return g.refused.Load() }
