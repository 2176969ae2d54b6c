package policies_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPolicyIsSafeForConcurrentUse, to be run with the race detector: decisions share the policy's
// room and must not meet in it.
func TestPolicyIsSafeForConcurrentUse(t *testing.T) {
	p := compile(t, tenRules)
	kept, unheard := benchFacts(), benchFacts()
	unheard.Heard = nil
	wantKept, wantUnheard := p.Decide(kept, origin), p.Decide(unheard, origin)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 500 {
				if a, b := p.Decide(kept, origin), p.Decide(unheard, origin); !cmp.Equal(a, wantKept) || !cmp.Equal(b, wantUnheard) {
					t.Errorf("decisions of others: %+v, %+v", a, b)
				}
				p.Timeline(kept)
			}
		})
	}
	group.Wait()
}
