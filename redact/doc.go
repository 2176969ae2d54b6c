// Package redact takes spans of sound out of a recording so that nothing of them is left, and
// leaves everything else as it was.
//
// It promises, for every coding that it knows (WAV, MP3, FLAC, Ogg Opus):
//
//   - not one bit of the erased sound survives in the output: not in a neighbour frame's bit
//     reservoir, not in a metadata chunk, not in a padding byte, not in an encoder's peak value;
//   - the sound outside [Report.Erased] is copied, never encoded anew, and decodes as before (round
//     the joint of a cut of lossy sound it fades for some 50 ms: GRAIN.md);
//   - metadata survives by allow-list only, with or without spans to erase;
//   - [Report.Erased] says what was really erased: the spans asked for, widened to the grain of
//     the coding, in the timeline of the input;
//   - erasing twice gives the same bytes as erasing once (for [earshot.FillCut]: the second time
//     with an empty edit).
//
// It refuses rather than guesses: a damaged, unusual or unknown stream is an [OpaqueError] that
// carries the byte offset and the reason, and that errors.Is reports as [ErrOpaque]. It never
// panics on foreign bytes and never believes a length that the file only claims.
//
// One worked flow. The caller spools the output, proves it, and only then lets go of the input:
//
//	report, err := redact.Redact(spool, src, size, redact.Edit{Spans: spans, Fill: earshot.FillSilence})
//	if errors.Is(err, redact.ErrOpaque) { ... } // delete, or leave it to a person: as the policy says
//	err = redact.Verify(src, size, spool, report.AfterBytes, report)
//	report.Verified = err == nil
//
// [Verify] parses input and output afresh with its own readers, and lets a decoder that is not ours
// listen round the edges of what was erased; [Report.Heard] then says what it heard. It shares no code
// with the edit path above the byte and bit readers, with one exception on purpose: where the fill is a tone it
// calls the same tone generator. The generator sees a format and a position, never the source, so
// a span that equals its output cannot hold anything of the source.
//
// The package knows nothing of policies, storage or transcripts' owners, keeps no state and writes
// no log. Limits per coding, with figures, are in GRAIN.md.
package redact
