package wire

// Limits bounds what a peer can make us hold. A field that is zero or negative
// stands for its default, so that the zero value is ready to use.
//
// Limits are inclusive: what is exactly as large as the limit is accepted.
type Limits struct {
	Head      int64 // octets of one response head, its empty line included; default [DefaultHeadLimit]
	Fields    int   // field lines of one head or one trailer section; default [DefaultFieldLimit]
	ChunkLine int   // octets of one chunk-size line, its CRLF included; default [DefaultChunkLineLimit]
	Trailer   int64 // octets of one trailer section, without its empty line; default [DefaultTrailerLimit]
}

// Values of [LimitError.What] that callers tell apart.
const (
	LimitHead      = "server response headers" // [Limits.Head]
	LimitChunkLine = "chunk-size line"         // [Limits.ChunkLine]
)

const (
	// DefaultHeadLimit is what http.Transport uses when MaxResponseHeaderBytes
	// is zero: large enough for any header sent in earnest.
	DefaultHeadLimit = 10 << 20

	// DefaultFieldLimit bounds the memory that the octets of a head turn into.
	// A field costs more than a hundred octets in a map however short it is, so
	// that a head of ten million octets could otherwise become hundreds of
	// millions. mime/multipart has the same limit.
	DefaultFieldLimit = 10_000

	// DefaultChunkLineLimit is net/http's. A size needs 16 digits at most;
	// the rest is for extensions, which are ignored.
	DefaultChunkLineLimit = 4096

	// DefaultTrailerLimit is larger than net/http's, which is the size of its
	// read buffer (4096 octets unless changed): trailers carry signatures and
	// server timings. Few enough octets to hold for each connection.
	DefaultTrailerLimit = 64 << 10
)

// withDefaults returns lim with the defaults filled in.
func (lim Limits) withDefaults() Limits {
	if lim.Head <= 0 {
		lim.Head = DefaultHeadLimit
	}
	if lim.Fields <= 0 {
		lim.Fields = DefaultFieldLimit
	}
	if lim.ChunkLine <= 0 {
		lim.ChunkLine = DefaultChunkLineLimit
	}
	if lim.Trailer <= 0 {
		lim.Trailer = DefaultTrailerLimit
	}
	return lim
}
