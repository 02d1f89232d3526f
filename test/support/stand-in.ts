import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** In the environment: what the stand-in does once it has recorded. Default: it ends with 7. */
export const STAND_IN_DOES = "STAND_IN_DOES";

/** A program in place of EKS Anywhere's own. It writes down what it was given, and reads all of its stdin. */
export class StandIn {
  /** The folder that it is in, for PATH. */
  readonly folder: string;
  readonly path: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.path = join(folder, "eksctl-anywhere");
  }

  /** `version`: what it prints for `version -o json` before it fails, as the real one does offline. */
  static async in(folder: string, { version = '{"version":"v0.26.1"}' } = {}): Promise<StandIn> {
    const standIn = new StandIn(folder);
    await mkdir(folder, { recursive: true });
    await writeFile(standIn.path, SCRIPT.replace("FOLDER", folder).replace("VERSION", version));
    await chmod(standIn.path, 0o755);
    return standIn;
  }

  /** Its arguments; fails when it was not called. */
  async argv(): Promise<string[]> {
    return (await this.lines("argv")).slice(0, -1);
  }

  async environment(): Promise<Record<string, string>> {
    return Object.fromEntries((await this.lines("env")).map((line) => line.split(/=(.*)/s).slice(0, 2)));
  }

  /** One of its records: `argv`, `env`, `cwd`, `stdin`, `signals`, `version`. */
  async lines(record: string): Promise<string[]> {
    return (await readFile(join(this.folder, record), "utf8")).split("\n");
  }
}

const SCRIPT = `#!/bin/sh
cd_to='FOLDER'
if [ "$1" = version ]; then
  echo "$@ in $(pwd)" >> "$cd_to/version"
  echo '{"level":"info"}'
  echo 'VERSION'
  echo noise >&2
  exit 255
fi
[ -e "$cd_to/argv" ] && exit 99
for argument; do printf '%s\\n' "$argument"; done > "$cd_to/argv"
env > "$cd_to/env"
pwd > "$cd_to/cwd"
case "$STAND_IN_DOES" in
  wait)
    trap 'echo INT >> "$cd_to/signals"' INT
    trap 'echo TERM >> "$cd_to/signals"; exit 9' TERM
    trap 'echo HUP >> "$cd_to/signals"; exit 8' HUP
    echo waiting >&2
    while :; do sleep 0.05; done ;;
  die) kill -KILL $$ ;;
  *)
    cat > "$cd_to/stdin"
    echo out
    echo err >&2
    exit 7 ;;
esac
`;
