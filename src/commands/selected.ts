import { type Collection, namedIn, selectFrom } from "../eksa/collect.ts";
import type { YamlFile } from "../eksa/documents.ts";
import type { ImageArtifact } from "../eksa/images.ts";
import { providersIn, type Selection, wantsManifests } from "../eksa/selection.ts";
import type { Platform } from "../oci/descriptor.ts";
import { Fault } from "../oci/fault.ts";
import { parsePlatform } from "../oci/platform.ts";
import { nearest } from "../terminal/nearest.ts";
import type { Values } from "./arguments.ts";
import type { PART_FLAGS } from "./flags.ts";

export type PartValues = Values<typeof PART_FLAGS>;

/** A Kubernetes version that a Bundles has nothing for. */
class UnknownVersion extends Fault {}

/** What the flags of a selection say. */
export function selectionFrom({ kubernetesVersion, provider, only }: PartValues): Selection {
  return { kubernetesVersions: kubernetesVersion, providers: provider, only };
}

/** What `--platform` names. */
export function platformsFrom(texts: readonly string[]): Platform[] {
  return texts.map((text) => {
    const platform = parsePlatform(text);
    if (platform !== undefined) return platform;
    throw new Fault(`cannot use \`${text.slice(0, 80)}\` as the value of \`--platform\``, {
      hint: "write it as OS/ARCH or OS/ARCH/VARIANT, e.g. `linux/amd64`",
      kind: "usage",
    });
  });
}

/** Fails on a version or a provider that a Bundles does not have: before what it points to is fetched. */
export function assertSelects(bundles: YamlFile, values: PartValues): void {
  const selection = selectionFrom(values);
  if (selection.kubernetesVersions.length + selection.providers.length === 0) return;
  assertSelectable(selection, namedIn(bundles));
}

/** The part that is selected. Fails where nothing is left. */
export function selected(collection: Collection, values: PartValues): Collection {
  const selection = selectionFrom(values);
  const part = selectFrom(collection, selection);
  if (part.images.length > 0 || wantsManifests(selection)) return part;
  throw new Fault("cannot select nothing: the Bundles names no artifact that all of the flags leave", {
    hint: "leave out one of `--kubernetes-version`, `--provider` and `--only`",
    kind: "usage",
  });
}

interface Selectable {
  kubernetesVersions: readonly string[];
  images: readonly Pick<ImageArtifact, "origins">[];
}

/** Fails naming what there is to be selected, the nearest first. */
export function assertSelectable(selection: Selection, { kubernetesVersions, images }: Selectable): void {
  for (const version of selection.kubernetesVersions) {
    if (kubernetesVersions.includes(version)) continue;
    const { message, hint } = unknown(
      `Kubernetes version \`${version.slice(0, 80)}\``,
      version,
      kubernetesVersions,
    );
    throw new UnknownVersion(message, { hint, kind: "usage" });
  }
  const providers = providersIn(images, selection);
  for (const provider of selection.providers) {
    if (!providers.includes(provider)) throw unknown(`provider \`${provider}\``, provider, providers);
  }
}

function unknown(what: string, asked: string, known: readonly string[]): Fault {
  const near = nearest(asked, known);
  const all = known.map((name) => `\`${name}\``).join(", ");
  const hint = near === undefined ? "choose from" : `did you mean \`${near}\`? There are`;
  return new Fault(`cannot select the ${what}: the Bundles has nothing for it`, {
    hint: known.length === 0 ? "it has none at all: leave out the flag" : `${hint} ${all}`,
    kind: "usage",
  });
}

/** `select` by what a cluster's file says: a version that the Bundles does not have is then no mistake in a flag. */
export async function selectedBy<T>(filename: string, select: () => Promise<T>): Promise<T> {
  try {
    return await select();
  } catch (error) {
    if (!(error instanceof UnknownVersion)) throw error;
    const { message, hint } = error;
    throw new Fault(message, {
      cause: new Error(`${filename} has it as \`spec.kubernetesVersion\`, or as that of a node group`),
      hint,
    });
  }
}
