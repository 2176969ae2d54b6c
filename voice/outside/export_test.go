package outside

// Parse is opened for fuzzing.
var Parse = parse
