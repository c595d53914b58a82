package main

import "testing"

// The program compares all octets, and ends the process if some are wrong.
func TestProgram(t *testing.T) { main() }
