//go:build !linux

package lab

import (
	"os"
	"os/exec"
	"syscall"
)

func endWithUs(c *exec.Cmd, sig syscall.Signal) {}

// meter cannot tell what other processes do.
func (l *Lab) meter() func(client *os.ProcessState) float64 {
	return func(*os.ProcessState) float64 { return 0 }
}
