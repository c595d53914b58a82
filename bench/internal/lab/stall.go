package lab

import "time"

// stallTick is how long the watch of stalls sleeps at a time.
const stallTick = 5 * time.Millisecond

// watchStalls sleeps again and again until the function it returns is called,
// which tells how late it was woken at worst.
func watchStalls() (worst func() time.Duration) {
	stop, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		var late time.Duration
		for {
			asleep := time.Now()
			select {
			case <-stop:
				result <- late
				return
			case <-time.After(stallTick):
				late = max(late, time.Since(asleep)-stallTick)
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-result
	}
}
