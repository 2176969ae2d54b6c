package policies

import (
	"math/bits"
	"strings"
)

// fact names one thing that a policy may know. There are fewer than 63, so that a set of them is
// one machine word.
type fact uint8

const (
	recordingBucket fact = iota
	recordingKey
	recordingSize
	recordingCoding
	recordingSubject
	recordingDevice
	recordingLocale
	recordingSource
	recordingLabels
	recordingCaptured
	recordingStored
	recordingLength
	recordingOrphan
	wakeListened
	wakeFound
	wakeStart
	wakeEnd
	wakeWord
	wakeScore
	childListened
	childProbability
	childPooled
	childDeclared
	childSegments // not in the language: child-speech hangs on it
	speechListened
	speechFound
	speechStart
	speechEnd
	speechCommandEnd // not in the language: after-command hangs on it
	subjectKnown
	subjectDeclaredMinor
	subjectDeclaredAge
	subjectLastActive
	subjectAutoDelete
	subjectDontSave
	subjectNoHumanReview
	subjectConsents
	factCount
)

// sort is the kind of value that a fact has.
type sort uint8

const (
	aString sort = iota
	anInt
	aDouble
	aBool
	aTime
	aDuration
	aList
	aMap
)

// factSpec describes one fact to the compiler, to editors and to people.
type factSpec struct {
	variable, field string
	sort            sort
	hidden          bool // not to be named in a policy
}

func (s factSpec) path() string { return s.variable + "." + s.field }

var facts = [...]factSpec{
	recordingBucket:      {"recording", "bucket", aString, false},
	recordingKey:         {"recording", "key", aString, false},
	recordingSize:        {"recording", "size", anInt, false},
	recordingCoding:      {"recording", "coding", aString, false},
	recordingSubject:     {"recording", "subject", aString, false},
	recordingDevice:      {"recording", "device", aString, false},
	recordingLocale:      {"recording", "locale", aString, false},
	recordingSource:      {"recording", "source", aString, false},
	recordingLabels:      {"recording", "labels", aMap, false},
	recordingCaptured:    {"recording", "captured", aTime, false},
	recordingStored:      {"recording", "stored", aTime, false},
	recordingLength:      {"recording", "length", aDuration, false},
	recordingOrphan:      {"recording", "orphan", aBool, false},
	wakeListened:         {"wake", "listened", aBool, false},
	wakeFound:            {"wake", "found", aBool, false},
	wakeStart:            {"wake", "start", aDuration, false},
	wakeEnd:              {"wake", "end", aDuration, false},
	wakeWord:             {"wake", "word", aString, false},
	wakeScore:            {"wake", "score", aDouble, false},
	childListened:        {"child", "listened", aBool, false},
	childProbability:     {"child", "probability", aDouble, false},
	childPooled:          {"child", "pooled", aDouble, false},
	childDeclared:        {"child", "declared", aBool, false},
	childSegments:        {"child", "segments", aList, true},
	speechListened:       {"speech", "listened", aBool, false},
	speechFound:          {"speech", "found", aBool, false},
	speechStart:          {"speech", "start", aDuration, false},
	speechEnd:            {"speech", "end", aDuration, false},
	speechCommandEnd:     {"speech", "commandEnd", aDuration, true},
	subjectKnown:         {"subject", "known", aBool, false},
	subjectDeclaredMinor: {"subject", "declaredMinor", aBool, false},
	subjectDeclaredAge:   {"subject", "declaredAge", anInt, false},
	subjectLastActive:    {"subject", "lastActive", aTime, false},
	subjectAutoDelete:    {"subject", "autoDelete", aDuration, false},
	subjectDontSave:      {"subject", "dontSave", aBool, false},
	subjectNoHumanReview: {"subject", "noHumanReview", aBool, false},
	subjectConsents:      {"subject", "consents", aList, false},
}

// variables are the names that conditions begin with.
var variables = [...]string{"recording", "wake", "child", "speech", "subject"}

// factAt finds a fact of the language by its path.
func factAt(path string) (fact, bool) {
	for i, s := range facts {
		if !s.hidden && len(path) == len(s.variable)+1+len(s.field) && strings.HasPrefix(path, s.variable) && s.path() == path {
			return fact(i), true
		}
	}
	return 0, false
}

// unknowns is a set of facts that are missing, and whether an evaluation went wrong.
type unknowns uint64

// failed says that an expression could not be evaluated, whatever is known.
const failed unknowns = 1 << 63

func only(f fact) unknowns { return 1 << f }

// each calls do for every fact in the set, in the order of the table.
func (u unknowns) each(do func(fact)) {
	for u &^= failed; u != 0; u &= u - 1 {
		do(fact(bits.TrailingZeros64(uint64(u))))
	}
}

// standing is how a fact stands.
type standing uint8

const (
	present standing = iota
	absent           // known not to be there, or not to be had: has() is false, reading it is a gap
	pending          // not known yet: nothing can be said of it, not even has()
)
