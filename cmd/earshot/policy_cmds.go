package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"earshot/policies"
	"earshot/policies/packs"

	"github.com/spf13/cobra"
)

func newPolicy(a *app) *cobra.Command {
	return group("policy", "Write policies and trust them before they run", newPolicyCheck(a), newPolicyTest(a), newPolicyExplain(a),
		newPolicyForecast(a), newPolicyDiff(a), newPolicyLint(a), newPolicyPublish(a), newPolicySchema(a), newPolicyPacks(a), newPolicyApprove(a))
}

// policyArgs are the files named, or those of the configuration.
func (a *app) policyArgs(args []string) ([]string, error) {
	if len(args) > 0 {
		return args, nil
	}
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	return policyFiles(c.Policies)
}

func newPolicyCheck(a *app) *cobra.Command {
	return command("check [FILE...]", "Check policies and name every error with its file, line and column",
		"Without files, those of the configuration are checked.", cobra.ArbitraryArgs,
		func(_ *cobra.Command, args []string) error {
			files, err := a.policyArgs(args)
			if err != nil {
				return err
			}
			bad := 0
			for _, f := range files {
				p, err := loadPolicy(f)
				if err != nil {
					bad++
					fmt.Fprintln(a.err, err)
					continue
				}
				if err := a.emit(map[string]any{"file": f, "policy": p.Name(), "digest": p.Digest()}, func(w io.Writer) {
					fmt.Fprintf(w, "%s: policy %s is right, digest %s\n", f, p.Name(), p.Digest().Short())
				}); err != nil {
					return err
				}
			}
			if bad > 0 {
				return fmt.Errorf("%d of %d policies have errors", bad, len(files))
			}
			return nil
		})
}

func newPolicyTest(a *app) *cobra.Command {
	return command("test [FILE...]", "Run the cases of policies (NAME.test.yaml beside NAME.yaml)",
		"Without files, those of the configuration are tested. A policy without cases is reported.", cobra.ArbitraryArgs,
		func(_ *cobra.Command, args []string) error {
			files, err := a.policyArgs(args)
			if err != nil {
				return err
			}
			failed := 0
			for _, f := range files {
				n, err := a.testPolicy(f)
				if err != nil {
					return err
				}
				failed += n
			}
			if failed > 0 {
				return fmt.Errorf("%d case(s) failed", failed)
			}
			return nil
		})
}

func (a *app) testPolicy(file string) (failed int, err error) {
	p, err := loadPolicy(file)
	if err != nil {
		return 0, err
	}
	casesFile := strings.TrimSuffix(file, ".yaml") + ".test.yaml"
	text, err := os.ReadFile(casesFile)
	if errors.Is(err, os.ErrNotExist) {
		a.say("%s: no cases; put them into %s", file, casesFile)
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading cases: %w", err)
	}
	cases, err := policies.ParseCases(casesFile, text)
	if err != nil {
		return 0, err
	}
	for _, r := range policies.Check(p, cases) {
		if !r.OK() {
			failed++
		}
		if err := a.emit(r, func(w io.Writer) { fmt.Fprintln(w, r) }); err != nil {
			return failed, err
		}
	}
	return failed, nil
}

func newPolicyExplain(a *app) *cobra.Command {
	return command("explain s3://BUCKET/KEY", "Tell what the policies make of one recording, and why",
		"Every rule is gone through, with dates: what decides now, and what will happen when.", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			bucket, key, err := parseS3URL(args[0])
			if err != nil {
				return err
			}
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			all, err := i.runner.Explain(cmd.Context(), bucket, key)
			if err != nil {
				return err
			}
			for _, e := range all {
				if err := a.emit(e, func(w io.Writer) { fmt.Fprintln(w, e) }); err != nil {
					return err
				}
			}
			return nil
		})
}

func newPolicySchema(a *app) *cobra.Command {
	return command("schema", "Print the JSON Schema of policies, for editors", "", cobra.NoArgs, func(*cobra.Command, []string) error {
		_, err := a.out.Write(policies.Schema())
		return err
	})
}

func newPolicyPacks(a *app) *cobra.Command {
	return command("packs [NAME]", "List the ready-made policies, or print one", "They are a beginning, and not legal advice.", cobra.MaximumNArgs(1),
		func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				text, _, err := packs.Open(args[0])
				if err != nil {
					return fmt.Errorf("%w: %w", errUsage, err)
				}
				_, err = a.out.Write(text)
				return err
			}
			for _, name := range packs.Names() {
				if a.json {
					if err := json.NewEncoder(a.out).Encode(map[string]string{"pack": name}); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintln(a.out, name)
			}
			return nil
		})
}

func newPolicyApprove(a *app) *cobra.Command {
	return command("approve NAME DIGEST", "Let a policy come into force that deletes more than the one it takes the place of",
		`A changed policy that would at once delete or redact more than its limits, or those of the policy before, allow is
refused by earshot plan, which prints its digest. Look at earshot policy diff first. Who brought it cannot approve it.`, cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error {
			i, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer i.close()
			d, err := i.runner.ApprovePolicy(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.emit(map[string]any{"policy": args[0], "digest": d}, func(w io.Writer) { fmt.Fprintf(w, "policy %s (%s) is approved\n", args[0], d.Short()) })
		})
}
