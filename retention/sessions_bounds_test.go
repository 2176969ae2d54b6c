package retention_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"earshot/retention"
)

// inKitchen is metadata of a recording that is of a session with those of say.
func (s *session) inKitchen() map[string]string {
	return map[string]string{"captured-at": s.now.Add(-time.Hour).Format(time.RFC3339), "device": "kitchen"}
}

func (s *session) restart(gap time.Duration) {
	s.tb.Helper()
	s.p.stop()
	s.world.session = gap
	s.p = s.mustStart()
}

// TestDevicesOfTwoHouseholdsAreTwo though both call theirs the kitchen.
func TestDevicesOfTwoHouseholdsAreTwo(t *testing.T) {
	s := newSession(t, false)
	s.say("a", "kitchen", -60, 97)
	s.say("b", "kitchen", -30, 97)
	s.put("clips/s2/x.wav", clip(8030), s.inKitchen())
	s.planned("a b")
}

// TestAnotherLengthOfSessionsDecidesAnew, also where there were none for a while.
func TestAnotherLengthOfSessionsDecidesAnew(t *testing.T) {
	s := newSession(t, false)
	s.restart(10 * time.Second)
	s.say("a", "kitchen", -60, 99)
	s.say("b", "kitchen", -30, 40)
	s.planned("a")
	s.restart(2 * time.Minute)
	run := s.planned("a b")
	s.restart(time.Minute)
	if _, err := s.p.runner.Apply(t.Context(), run.Run.ID); !errors.Is(err, retention.ErrStaleRun) {
		t.Errorf("a plan of other sessions is applied: %v", err)
	}
	s.restart(0)
	s.planned("a")
	s.restart(2 * time.Minute)
	s.planned("a b")
}

// TestASmallChangeOverAThresholdIsForAll of a session, not only for who brings it.
func TestASmallChangeOverAThresholdIsForAll(t *testing.T) {
	s := newSession(t, false)
	s.say("a", "kitchen", -60, 79)
	s.say("b", "kitchen", -50, 79)
	s.say("c", "kitchen", -40, 80)
	s.planned("")
	s.say("d", "kitchen", -30, 82)
	s.planned("a b c d")
}

// TestAnHourIsNoSession: where keys tell only the hour, recordings of the same hour need not be close.
func TestAnHourIsNoSession(t *testing.T) {
	s := newSession(t, false)
	s.template = "clips/{subject}/{device}/{captured:2006/01/02/15}/{id}.{coding}"
	s.restart(2 * time.Minute)
	hour := s.now.Add(-3 * time.Hour).Format("2006/01/02/15")
	for id, percent := range map[string]int{"child1": 97, "child2": 97, "adult": 20} {
		s.put("clips/s1/kitchen/"+hour+"/"+id+".wav", clip(8000+percent), nil)
	}
	got := s.planned("kitchen/" + hour + "/child1 kitchen/" + hour + "/child2")
	s.applied(got, 2, 0)
}

// TestNoSingleVoiceOutvotesASession: one recording that is certainly an adult's against two that are children's.
func TestNoSingleVoiceOutvotesASession(t *testing.T) {
	s := newSession(t, false)
	s.policy = strings.ReplaceAll(s.policy, "0.8", "0.82") // .811 where the adult tells all that it could, .832 as it is
	s.restart(2 * time.Minute)
	s.say("a", "kitchen", -60, 97)
	s.say("b", "kitchen", -50, 97)
	s.say("c", "kitchen", -40, 97)
	s.put("clips/s1/d.wav", clip(8001), s.inKitchen())
	s.planned("a b c d")
}

// TestOneThatIsNeverHeardDoesNotHoldUpItsSession for ever: when it is blocked, the others are judged without it.
func TestOneThatIsNeverHeardDoesNotHoldUpItsSession(t *testing.T) {
	s := newSession(t, false)
	s.ear.broken = true
	s.say("a", "kitchen", -60, 97)
	s.say("b", "kitchen", -50, 999)
	for range 4 {
		s.planned("")
		s.now = s.now.Add(73 * time.Hour)
	}
	s.planned("a") // the fifth try was the last one
	s.now = s.now.Add(73 * time.Hour)
	s.planned("a")
}
