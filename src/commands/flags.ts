import type { Flags } from "./arguments.ts";

/** On every command. */
export const OUTPUT_FLAGS = {
  verbosity: {
    type: "number",
    alias: "v",
    default: 0,
    description: "1 shows decisions, 4 every HTTP request",
    group: "Output",
  },
  quiet: { type: "boolean", alias: "q", description: "show errors only", group: "Output" },
  noProgress: { type: "boolean", description: "no progress, only what matters", group: "Output" },
  logFormat: {
    type: "string",
    choices: ["text", "json"],
    default: "text",
    description: "`json`: one event a line on stderr",
    group: "Output",
  },
} as const satisfies Flags;

/** On every command that reaches a registry. */
export const NETWORK_FLAGS = {
  caFile: {
    type: "string",
    valueHint: "FILE",
    description: "trust these certificate authorities as well as the system's",
    group: "Registries",
  },
  mirror: {
    type: "list",
    valueHint: "HOST=URL",
    description: "read HOST from URL instead",
    group: "Registries",
  },
  jobs: { type: "number", min: 1, default: 8, description: "blobs in flight", group: "Registries" },
} as const satisfies Flags;

const { mirror: _, ...REGISTRY_FLAGS } = NETWORK_FLAGS;

/** On every command that writes to a registry, and reads from none. */
export const TARGET_FLAGS = {
  ...REGISTRY_FLAGS,
  clientCert: {
    type: "string",
    valueHint: "FILE",
    description: "the certificate to show to the registry; with `--client-key`",
    group: "Registries",
  },
  clientKey: {
    type: "string",
    valueHint: "FILE",
    description: "the key of that certificate",
    group: "Registries",
  },
  insecure: {
    type: "boolean",
    description: "do not check the registry's own certificate",
    group: "Registries",
  },
} as const satisfies Flags;
