package earshot

import "time"

// Coarseness is what a time is cut down to.
type Coarseness string

// The steps of coarseness. The zero value leaves times as they are.
const (
	ToMinute Coarseness = "minute"
	ToHour   Coarseness = "hour"
	ToDay    Coarseness = "day"
)

// Unit is the length of the step, 0 for the zero value and for anything unknown.
func (c Coarseness) Unit() time.Duration {
	switch c {
	case ToMinute:
		return time.Minute
	case ToHour:
		return time.Hour
	case ToDay:
		return 24 * time.Hour
	}
	return 0
}

// RowRule is what a policy says of the rows of an event log from a certain age on.
type RowRule struct {
	Policy  string        `json:"policy,omitempty"`
	Name    string        `json:"name"`
	Because string        `json:"because,omitempty"`
	After   time.Duration `json:"after,omitempty"` // age of a row by its time column; 0: every row
	Delete  bool          `json:"delete,omitempty"`
	Coarsen Coarseness    `json:"coarsen,omitempty"` // the time column is cut down to it
	Drop    []string      `json:"drop,omitempty"`    // columns whose values go
	Hash    []string      `json:"hash,omitempty"`    // columns whose values become keyed pseudonyms
}

// RowMatch names rows: those that fit every field that is set.
type RowMatch struct {
	Subject SubjectID `json:"subject,omitempty"`
	Device  string    `json:"device,omitempty"`
	From    time.Time `json:"from,omitzero"` // at or after
	To      time.Time `json:"to,omitzero"`   // before
}

// RowFacts is what a look into an event log showed: what is to be done to its rows as of a moment, and
// when more is due.
type RowFacts struct {
	AsOf   time.Time `json:"as_of"`
	Rules  Digest    `json:"rules"`  // of the rules on rows that it was looked at by
	People Digest    `json:"people"` // of the holds and erasures that it was looked at by
	Rows   int64     `json:"rows"`
	Held   int64     `json:"held,omitempty"` // rows that would go or change but for a hold
	// HeldBy counts the rows of Held by what keeps them, in the order of Edit.Held.
	HeldBy []int64   `json:"held_by,omitempty"`
	Edit   RowEdit   `json:"edit"`
	Next   time.Time `json:"next,omitzero"` // zero: nothing is due later
	// Fault is why the log cannot be read, with the line; the log is kept then.
	Fault string `json:"fault,omitempty"`
}

// RowEdit is what a decision asks of an event log. Held rows are never touched, whatever else is
// said of them; rows of the subjects in Erase go; the rules follow.
type RowEdit struct {
	Log   string      `json:"log"`   // class of event log, as the layout names it
	AsOf  time.Time   `json:"as_of"` // ages are counted up to here
	Rules []RowRule   `json:"rules,omitempty"`
	Erase []SubjectID `json:"erase,omitempty"`
	Held  []RowMatch  `json:"held,omitempty"`
	// Go and Change count the rows that were found to go and to be changed.
	Go     int64 `json:"go,omitempty"`
	Change int64 `json:"change,omitempty"`
}
