package wire

import "strings"

// A commonName is a name that needs no memory of its own. The zero value is no
// name.
type commonName struct {
	canonical, lower string
}

const slotBits = 9

// commonNames has each common name in the slot that commonSlot says, or in the
// first free one behind. There are so many slots that nearly every search ends in
// the first, whether or not it finds a name.
var commonNames = func() (slots [1 << slotBits]commonName) {
	for _, name := range commonNameList {
		slot := commonSlot(name)
		for slots[slot].canonical != "" {
			slot = (slot + 1) % uint32(len(slots))
		}
		slots[slot] = commonName{name, strings.ToLower(name)}
	}
	return slots
}()

// commonSlot returns where in commonNames to begin the search for a name, which
// must not be empty. It is the same for the name in whatever capitals. Length and
// three octets suffice to give nearly all common names slots of their own.
func commonSlot(name string) uint32 {
	const caseBits = 0x202020 // all that distinguishes upper case from lower case
	n := len(name)
	h := uint32(name[0]) | uint32(name[n/2])<<8 | uint32(name[n-1])<<16 | caseBits
	return (h ^ uint32(n)<<24) * 0x9e3779b1 >> (32 - slotBits)
}

// findCommon returns the common name that name spells in whatever capitals, or ""
// if there is none. It looks at slot first.
func findCommon(name string, slot uint32) string {
	for {
		switch c := &commonNames[slot]; {
		case c.canonical == "":
			return ""
		case len(name) == len(c.canonical) && strings.EqualFold(name, c.canonical):
			return c.canonical
		}
		slot = (slot + 1) % uint32(len(commonNames))
	}
}

// commonNameList has the names that are common in responses, and some that
// requests and trailer sections have.
var commonNameList = []string{
	"Accept", "Accept-Ch", "Accept-Encoding", "Accept-Language", "Accept-Patch", "Accept-Ranges",
	"Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Allow-Origin",
	"Access-Control-Expose-Headers", "Access-Control-Max-Age",
	"Age", "Allow", "Alt-Svc", "Authorization", "Cache-Control", "Cf-Cache-Status", "Cf-Ray", "Connection",
	"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Content-Location",
	"Content-Range", "Content-Security-Policy", "Content-Type", "Cookie",
	"Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Date", "Etag", "Expect-Ct", "Expires",
	"Grpc-Message", "Grpc-Status", "Host", "Keep-Alive", "Last-Modified", "Link", "Location", "Nel",
	"Origin", "P3p", "Permissions-Policy", "Pragma", "Proxy-Authenticate", "Proxy-Connection",
	"Referrer-Policy", "Report-To", "Retry-After", "Server", "Server-Timing", "Set-Cookie", "Sourcemap",
	"Strict-Transport-Security", "Timing-Allow-Origin", "Trailer", "Transfer-Encoding", "Upgrade",
	"User-Agent", "Vary", "Via", "Warning", "Www-Authenticate",
	"X-Amz-Cf-Id", "X-Amz-Cf-Pop", "X-Amz-Id-2", "X-Amz-Request-Id", "X-Cache", "X-Cache-Hits",
	"X-Content-Type-Options", "X-Correlation-Id", "X-Dns-Prefetch-Control", "X-Download-Options",
	"X-Envoy-Upstream-Service-Time", "X-Forwarded-For", "X-Frame-Options", "X-Powered-By",
	"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "X-Request-Id", "X-Robots-Tag",
	"X-Runtime", "X-Served-By", "X-Timer", "X-Trace-Id", "X-Ua-Compatible", "X-Xss-Protection",
}
