package pipetest

// EverySplit calls f with msg cut in two at each position, then octet by octet.
func EverySplit(msg string, f func(reads []string)) {
	for i := range len(msg) + 1 {
		f([]string{msg[:i], msg[i:]})
	}
	octets := make([]string, len(msg))
	for i := range octets {
		octets[i] = msg[i : i+1]
	}
	f(octets)
}
