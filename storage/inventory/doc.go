// Package inventory reads S3 Inventory reports: lists of what a bucket held at one moment, which a
// store writes once a day or a week, so that a large bucket need not be listed.
//
// A report is a manifest.json and the files that it names. The manifest says which bucket the report
// is of (sourceBucket), when its making began (creationTimestamp, milliseconds since 1970), the form
// of the files (fileFormat CSV or Parquet; ORC is refused), the order of the columns of CSV
// (fileSchema), and for each file its key, size and MD5. CSV files are gzipped, have no header line, and
// their keys are URL-encoded; Parquet files name their columns themselves (e_tag for ETag), and keys
// are as they are. Rows come in any order, spread over the files; a report on all versions has several
// rows for a key. See Amazon S3 User Guide, "Locating your inventory list".
//
// It promises that nothing comes out of a report before all of it has been read and found whole: every
// file has its size and MD5, every row can be read and is of the source bucket. Memory is bounded: rows
// are sorted in runs on disk, and merged. It refuses everything else, whole.
//
// A worked flow: ParseManifest, Stage (which fetches, checks and sorts), then range over Recordings in
// order of key, and Close.
//
// Limits: a report is older than the store, may lack what came late and name what is gone, and does
// not say which prefix it was filtered by. What it lacks proves nothing; the caller must look.
package inventory
