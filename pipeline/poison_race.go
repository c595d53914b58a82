//go:build race

package pipeline

func init() { poison = true }
