package main

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/howdah/howdah/server/version"
)

func newVersion() *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			info, out := version.Info(), command.OutOrStdout()
			switch output {
			case "":
				_, err := fmt.Fprintf(out, "howdah %s (commit %s, %s, %s)\n", info.GitVersion, cmp.Or(info.GitCommit, "unknown"), info.GoVersion, info.Platform)
				return err
			case "json":
				encoder := json.NewEncoder(out)
				encoder.SetIndent("", "  ")
				return encoder.Encode(info)
			}
			return fmt.Errorf("--output is %q, not json", output)
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "", "json; by default one line of text")
	return command
}
