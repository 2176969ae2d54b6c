package retention_test

import (
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"earshot/internal/fault"
)

type simOp struct {
	proc, name string
	reply      chan simVerdict
}

type simVerdict struct {
	v     fault.Verdict
	crash bool
}

// step waits until the scheduler chooses this operation.
func (s *sim) step(proc, name string) (fault.Verdict, bool) {
	op := &simOp{proc, name, make(chan simVerdict)}
	s.mu.Lock()
	s.pending = append(s.pending, op)
	s.mu.Unlock()
	v := <-op.reply
	return v.v, v.crash
}

// faultless is how many steps there are at most with faults: then everything comes to its end.
const faultless = 700

// schedule lets one operation go after the other until all processes have ended. at calls what somebody
// else does when that many operations have gone.
func (s *sim) schedule(at int, meanwhile func()) {
	for {
		synctest.Wait()
		s.mu.Lock()
		if len(s.pending) == 0 {
			done := s.living == 0
			s.mu.Unlock()
			if done {
				return
			}
			time.Sleep(200 * time.Millisecond)
			continue
		}
		slices.SortStableFunc(s.pending, func(a, b *simOp) int {
			return strings.Compare(a.proc+" "+a.name, b.proc+" "+b.name)
		})
		i := s.rng.IntN(len(s.pending))
		op := s.pending[i]
		s.pending = slices.Delete(s.pending, i, i+1)
		v := s.verdict(op)
		s.steps++
		s.trace = append(s.trace, fmt.Sprintf("%s %s %v", op.proc, op.name, v))
		if s.loud {
			s.t.Logf("%4d %s %s %v", s.steps, op.proc, op.name, v)
		}
		now := s.steps == at
		s.mu.Unlock()
		if now {
			meanwhile()
		}
		op.reply <- v
	}
}

// verdict chooses what becomes of an operation.
func (s *sim) verdict(op *simOp) simVerdict {
	if s.steps > faultless || op.proc == "person" {
		return simVerdict{}
	}
	sql := strings.HasPrefix(op.name, "SQL")
	if s.crashes > 0 && s.rng.Float64() < 0.01 {
		s.crashes--
		return simVerdict{[]fault.Verdict{fault.Lose, fault.Land}[s.rng.IntN(2)], true}
	}
	if s.rng.Float64() >= s.faults {
		return simVerdict{}
	}
	kinds := []fault.Verdict{fault.Lose, fault.Land, fault.Busy, fault.Slow, fault.Truncate}
	if sql {
		kinds = kinds[:2]
	}
	return simVerdict{kinds[s.rng.IntN(len(kinds))], false}
}
