package main
import "github.com/urfave/cli/v2"
import "brink/collector"
func runCommand() *cli.Command { return &cli.Command{Name:"run"} }
func listCommand() *cli.Command { return &cli.Command{Name:"list"} }
func identify(*collector.Connection) (string,string) {return "",""}
