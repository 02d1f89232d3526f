import { resolve } from "node:path";
import { CombinedSource } from "../archive/combined.ts";
import { mirrorConfiguration, PUBLIC_REGISTRY } from "../eksa/mirror.ts";
import { type Runtime, type RuntimeFiles, type RuntimeMirror, runtimeFiles } from "../eksa/runtime-files.ts";
import { Fault } from "../oci/fault.ts";
import { type Credentials, targetCredentials } from "../registry/credentials.ts";
import { defineCommandLine } from "./arguments.ts";
import { defineCommand, type Run } from "./command.ts";
import { CLUSTER_FLAGS, OUTPUT_FLAGS, TARGET_FLAGS } from "./flags.ts";
import { writeFolder } from "./folder.ts";
import { refuseStdin } from "./held.ts";
import { nodeSecurity } from "./node-security.ts";
import { type Destination, nameTarget } from "./target.ts";

const LINE = defineCommandLine({
  name: "generate mirror-config",
  summary:
    "Write how nodes find a registry: the `registryMirrorConfiguration` of a cluster, or a container runtime's own files. REGISTRY_USERNAME and REGISTRY_PASSWORD, where they are set, say that it asks for a login.",
  example:
    "eksa-airgap generate mirror-config --registry registry.example.com --format containerd --directory .",
  flags: {
    registry: {
      type: "string",
      alias: "r",
      valueHint: "HOST[:PORT][/NAMESPACE]",
      description: "the registry that an archive was imported into",
    },
    ...CLUSTER_FLAGS,
    input: {
      type: "list",
      alias: "i",
      files: true,
      valueHint: "FILE",
      description: `that archive: every registry in it gets an entry; without it ${PUBLIC_REGISTRY} alone does`,
    },
    format: {
      type: "string",
      choices: ["cluster", "containerd", "crio", "podman"],
      default: "cluster",
      description: "for a cluster's spec, or for this runtime",
    },
    directory: {
      type: "string",
      alias: "d",
      valueHint: "DIR",
      description: "write the files below DIR, without printing them",
    },
    caFile: { ...TARGET_FLAGS.caFile, description: "the certificate authorities that nodes are to trust" },
    insecure: { ...TARGET_FLAGS.insecure, description: "nodes do not check the registry's certificate" },
    ...OUTPUT_FLAGS,
  },
  oneOf: ["registry", "filename"],
});

type MirrorConfigRun = Run<typeof LINE.flags>;

/** The one file for a cluster's spec. */
const CLUSTER_FILE = "registry-mirror-configuration.yaml";

export const generateMirrorConfig = defineCommand(LINE, async (run) => {
  const { values, environment } = run;
  const destination = await nameTarget(run);
  refuseStdin(values.input, "read");
  // A saved login says nothing of those that nodes have.
  const known = targetCredentials(environment);
  const { authenticate = false, ...security } = nodeSecurity(run, destination, known !== undefined);
  const { target } = destination;
  const registries = registriesOf(values.input);
  const login = authenticate ? known : undefined;
  if (authenticate && login === undefined && values.format === "containerd") throw withoutLogin(destination);
  if (values.format === "cluster") {
    const text = mirrorConfiguration(target, registries, { ...security, authenticate });
    return give(run, { folder: undefined, files: new Map([[CLUSTER_FILE, text]]) });
  }
  await giveRuntime(run, values.format, { target, registries, ...security, login });
});

/** A saved login would do here, but not for the nodes. */
function withoutLogin({ flag }: Destination): Fault {
  return new Fault("cannot write the login into containerd's files: there is none", {
    cause: new Error(`\`authenticate: true\` with \`${flag}\``),
    hint: "set REGISTRY_USERNAME and REGISTRY_PASSWORD",
    kind: "usage",
  });
}

function registriesOf(inputs: readonly string[]): Set<string> {
  if (inputs.length === 0) return new Set([PUBLIC_REGISTRY]);
  const source = new CombinedSource([...new Set(inputs)]);
  try {
    return new Set([...source.references, ...source.nameless].map(({ registry }) => registry));
  } finally {
    source.close();
  }
}

async function giveRuntime(
  run: MirrorConfigRun,
  runtime: Runtime,
  { login, ...mirror }: RuntimeMirror & { login?: Credentials | undefined },
): Promise<void> {
  const { log, values } = run;
  const { registry } = mirror.target;
  if (runtime !== "containerd") {
    await give(run, runtimeFiles(runtime, mirror));
    if (login !== undefined) log.info(`the login is not in them: ${loginFor(runtime, registry)}`);
    return;
  }
  // What is printed may be seen by anybody.
  const isKept = login?.kind === "password" && values.directory !== undefined;
  const authorization = isKept ? { authorization: basic(login) } : {};
  await give(run, runtimeFiles(runtime, { ...mirror, ...authorization }), isKept ? 0o600 : undefined);
  if (login !== undefined && !isKept)
    log.info("the login is left out: it is written with `--directory DIR` only");
  log.info('containerd reads them where its `config_path` is "/etc/containerd/certs.d"');
}

/** Source: https://github.com/cri-o/cri-o/blob/main/docs/crio.conf.5.md */
function loginFor(runtime: "crio" | "podman", registry: string): string {
  const save = `podman login ${registry}`;
  if (runtime === "podman") return `save one with \`${save}\``;
  return `save one with \`${save} --authfile FILE\`, and name FILE as \`global_auth_file\` in CRI-O's configuration`;
}

function basic({ username, password }: Extract<Credentials, { kind: "password" }>): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** Files into the folder that was asked for; else as text, each below its name where there are several. */
async function give(
  { values, directory, print, log, signal }: MirrorConfigRun,
  { folder, files }: Omit<RuntimeFiles, "folder"> & { folder: string | undefined },
  mode = 0o644,
): Promise<void> {
  if (values.directory === undefined) {
    const texts = [...files].map(([path, text]) =>
      folder === undefined ? text : `# ${folder}/${path}\n${text}`,
    );
    return print(texts.join("\n").trimEnd());
  }
  const encoder = new TextEncoder();
  const titled = [...files].map(([title, text]) => ({ title, bytes: encoder.encode(text) }));
  const path = resolve(directory, values.directory);
  await writeFolder(path, titled, { mode, signal });
  const names = [...files.keys()].join(", ");
  log.info(`wrote into ${path}: ${names}${folder === undefined ? "" : ` (they belong into ${folder})`}`);
}
