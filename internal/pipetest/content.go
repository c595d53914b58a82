package pipetest

import (
	"encoding/binary"
	"hash/fnv"
	"io"
)

// Content returns n octets that depend on path and on their position alone,
// so that every octet of an answer can be checked, wherever it was cut. They
// look random: carriage returns and anything else occur in them.
func Content(path string, n int) []byte {
	p := make([]byte, n)
	io.ReadFull(ContentReader(path), p)
	return p
}

// ContentReader returns the endless stream that Content begins with.
func ContentReader(path string) io.Reader {
	h := fnv.New64a()
	io.WriteString(h, path)
	return &contentReader{seed: h.Sum64()}
}

type contentReader struct {
	seed uint64
	pos  uint64 // octets read
}

func (r *contentReader) Read(p []byte) (int, error) {
	var word [8]byte
	for n := 0; n < len(p); {
		binary.LittleEndian.PutUint64(word[:], mix(r.seed+r.pos/8))
		took := copy(p[n:], word[r.pos%8:])
		n += took
		r.pos += uint64(took)
	}
	return len(p), nil
}

// mix spreads the bits of x (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x *= 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
