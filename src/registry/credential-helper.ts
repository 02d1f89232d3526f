import * as v from "valibot";
import type { Credentials } from "./credentials.ts";
import { unexecutable } from "./on-path.ts";

const Login = v.object({ Username: v.string(), Secret: v.string() });

interface HelperAnswer {
  /** Null after a signal. */
  status: number | null;
  said: string;
}

/** What follows `docker-credential-` in a program's name: never a path. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
const MAX_ANSWER_BYTES = 64 * 1024;
/** Some ask a cloud, or a person: milliseconds. */
const LONGEST_WAIT = 60_000;
const LONGEST_REASON = 200;
/** What helpers print, and exit with 1, when they have nothing. docker-credential-helpers `credentials/error.go`. */
const NOT_FOUND = "credentials not found";
/** The user name that makes the secret an identity token. docker `cli/config/credentials/native_store.go`. */
const IDENTITY_TOKEN = "<token>";

export interface CredentialHelperOptions {
  /** Milliseconds that a helper may take to answer. Default: a minute. */
  longestWait?: number;
}

/** The programs that keep logins for docker and podman; each is asked once for each server. */
export class CredentialHelpers {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #warn: (text: string) => void;
  readonly #asked = new Map<string, Promise<Credentials | undefined>>();
  readonly #told = new Set<string>();
  readonly #longestWait: number;

  constructor(
    environment: NodeJS.ProcessEnv,
    warn: (text: string) => void,
    { longestWait = LONGEST_WAIT }: CredentialHelperOptions = {},
  ) {
    this.#environment = environment;
    this.#warn = warn;
    this.#longestWait = longestWait;
  }

  /** Undefined when it has none, and, with a warning, when it cannot say. */
  ask(name: string, server: string): Promise<Credentials | undefined> {
    const key = `${name} ${server}`;
    const asked = this.#asked.get(key) ?? this.#ask(name, server);
    this.#asked.set(key, asked);
    return asked;
  }

  async #ask(name: string, server: string): Promise<Credentials | undefined> {
    if (!NAME.test(name)) {
      return this.#tell("a login file names a credential helper that cannot be a program");
    }
    const program = `docker-credential-${name}`;
    const PATH = this.#environment.PATH ?? "";
    const path = Bun.which(program, { PATH });
    if (path === null) {
      const file = unexecutable(program, PATH);
      if (file !== undefined) {
        return this.#tell(
          `${file}, which keeps logins here, may not be executed (\`chmod +x ${file}\`): going on without it`,
        );
      }
      return this.#tell(`\`${program}\`, which keeps logins here, is not on PATH: going on without it`);
    }
    try {
      const { status, said } = await this.#run(path, server);
      if (status === 0) return readAnswer(said);
      if (said.toLowerCase().includes(NOT_FOUND)) return;
      throw new Error(reasonIn(said) ?? `it ended with ${status ?? "a signal"}`);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return this.#tell(`\`${program}\` gives no login for ${server}: ${why}`);
    }
  }

  /**
   * Spec: docker-credential-helpers, "Development": the server on stdin, JSON or an error on stdout. What a
   * helper has started lives on when it is killed, and may hold its stdout open: nobody waits for that.
   */
  async #run(path: string, server: string): Promise<HelperAnswer> {
    const child = Bun.spawn([path, "get"], {
      stdin: new TextEncoder().encode(server),
      stdout: "pipe",
      stderr: "ignore",
      env: this.#environment,
    });
    const reader = child.stdout.getReader();
    const answer = async () => ({ said: await readStart(reader), status: await child.exited });
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    const limit = this.#longestWait;
    const timer = setTimeout(() => reject(new Error(`no answer within ${limit / 1000} seconds`)), limit);
    try {
      return await Promise.race([answer(), tooLate]);
    } finally {
      clearTimeout(timer);
      child.kill("SIGKILL");
      reader.cancel().catch(() => {});
    }
  }

  #tell(warning: string): undefined {
    if (!this.#told.has(warning)) this.#warn(warning);
    this.#told.add(warning);
  }
}

async function readStart(reader: {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
}): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done || value === undefined) return new TextDecoder().decode(Buffer.concat(chunks));
    length += value.length;
    if (length > MAX_ANSWER_BYTES) throw new Error(`it says more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(value);
  }
}

function readAnswer(said: string): Credentials {
  let document: unknown;
  try {
    document = JSON.parse(said);
  } catch {}
  const answer = v.safeParse(Login, document);
  // Not quoted: it may hold a password.
  if (!answer.success) throw new Error("its answer cannot be read");
  const { Username: username, Secret: secret } = answer.output;
  if (username === IDENTITY_TOKEN) return { kind: "identityToken", token: secret };
  return { kind: "password", username, password: secret };
}

/** Its first line, unless that may be more than an error. */
function reasonIn(said: string): string | undefined {
  const [line = ""] = said.trim().split("\n");
  return line === "" || /[{}"]/.test(line) ? undefined : line.slice(0, LONGEST_REASON);
}
