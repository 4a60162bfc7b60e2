package reconcile

import (
	"fmt"
	"strings"
)

// longest is how much of an error is told.
const longest = 1000

// Brief is what an error says, without the end of what nobody can read: some join
// an error for each of thousands of objects.
func Brief(err error) string {
	text := err.Error()
	if len(text) <= longest {
		return text
	}
	return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(text[:longest], ""), len(text))
}
