import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { executable } from "../support/executable.ts";
import { testWith } from "../support/needs.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eksa-airgap-completion-"));
  await writeFile(join(folder, "artifacts.tar"), "");
  await writeFile(join(folder, "with space.tar"), "");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What is typed, and what the shell must offer, in whatever order. */
const CASES: [line: string, offers: string[]][] = [
  ["eksa-airgap exp", ["export"]],
  ["eksa-airgap anywhere exp", ["export"]],
  ["eksa-airgap anywhere list ", ["artifacts", "images"]],
  ["eksa-airgap anywhere export artifacts --outp", ["--output"]],
  ["eksa-airgap anywhere import artifacts -i art", ["artifacts.tar"]],
  ["eksa-airgap list ", ["artifacts", "images"]],
  ["eksa-airgap completion f", ["fish"]],
  ["eksa-airgap export artifacts --outp", ["--output"]],
  ["eksa-airgap export artifacts --output art", ["artifacts.tar"]],
  ["eksa-airgap export artifacts --log-format ", ["json", "text"]],
  ["eksa-airgap import artifacts -i with", ["with space.tar"]],
];

async function inShell(command: string[], script: string, args: string[] = []): Promise<string> {
  const path = `${dirname(await executable())}:${process.env.PATH}`;
  const child = Bun.spawn([...command, script, ...args], {
    cwd: folder,
    env: { PATH: path, HOME: folder, TERM: "xterm", LC_ALL: "C.UTF-8" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect(err).toBe("");
  return out;
}

describe("the shell itself completes", () => {
  testWith("bash").each(CASES)("bash: %s", async (line, offers) => {
    const script = `
      source <(eksa-airgap completion bash)
      IFS=' ' read -ra COMP_WORDS <<< "$1"
      [[ $1 == *' ' ]] && COMP_WORDS+=('')
      COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
      _eksa_airgap
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const out = await inShell(["bash", "--norc", "-c"], script, ["bash", line]);
    expect(out.trimEnd().split("\n").sort()).toEqual(offers);
  });

  testWith("fish").each(CASES)("fish: %s", async (line, offers) => {
    const script = "eksa-airgap completion fish | source; complete -C $argv[1]";
    const out = await inShell(["fish", "--no-config", "-c"], script, [line]);
    // Each with a tab and what it is good for.
    const words = out
      .trimEnd()
      .split("\n")
      .map((offer) => offer.split("\t")[0]?.replaceAll("\\", "") ?? "");
    expect(words.sort()).toEqual(offers);
  });

  // Zsh completes in a terminal only: one of its own making, where the keys are pressed and the screen is read.
  testWith("zsh").each(CASES)("zsh: %s", async (line, offers) => {
    const script = `
      zmodload zsh/zpty
      zpty z zsh -f -i
      zpty -w z 'autoload -U compinit; compinit -u -D; PS1=; source <(eksa-airgap completion zsh); print RE''ADY'
      zpty -r z seen '*READY*'
      zpty -w -n z "$1"$'\\t\\t'
      shown=
      repeat 100; do
        sleep 0.1
        while zpty -rt z some; do shown+=$some; done
        missing=
        for offer in "\${@:2}"; do [[ \${shown//\\\\/} == *$offer* ]] || missing=1; done
        [[ -z $missing ]] && break
      done
      zpty -d z
      print -r -- "$shown"`;
    const out = await inShell(["zsh", "-f", "-c"], script, ["zsh", line, ...offers]);
    const shown = out.replaceAll("\\", "");
    for (const offer of offers) expect(shown).toContain(offer);
  });
});
