import * as v from "valibot";
import { Fault } from "../oci/fault.ts";
import type { Reference } from "../oci/reference.ts";
import { mergeSkipped, type Skipped } from "./artifacts.ts";
import { absenceOf, SKIP_REASONS } from "./classify.ts";
import { type DocumentType, parseYamlDocument, type YamlFile } from "./documents.ts";
import { MEND, throwAll } from "./failures.ts";
import { type ImageArtifact, mergeImages, parseImage } from "./images.ts";
import { displayUri } from "./uri.ts";

const image = v.looseObject(
  { uri: v.string("the URI of an image"), imageDigest: v.optional(v.string("a digest")) },
  "an image",
);
const archive = v.looseObject({ uri: v.string("the URI of an archive") }, "an archive");
const asset = v.looseObject({ image: v.optional(image), archive: v.optional(archive) }, "an asset");
const component = v.looseObject(
  { assets: v.optional(v.array(asset, "a list of assets"), []) },
  "a component",
);
const components = v.pipe(
  v.array(component, "a list of components"),
  v.minLength(1, "at least one component"),
);

type Asset = v.InferOutput<typeof asset>;

const RELEASE: DocumentType<{ status: { components: { assets: Asset[] }[] } }> = {
  apiVersion: "distro.eks.amazonaws.com/v1alpha1",
  kind: "Release",
  schema: v.object(
    { status: v.object({ components }, "a mapping with `components`") },
    "a mapping with a `status`",
  ),
};

/** The images of an EKS-D Release; all else that it names is left out. */
export function eksdArtifacts(file: YamlFile): { images: ImageArtifact[]; skipped: Skipped[] } {
  const images: ImageArtifact[] = [];
  const skipped: Skipped[] = [];
  const failures: unknown[] = [];
  for (const [c, { assets }] of parseYamlDocument(file, RELEASE).status.components.entries()) {
    for (const [a, asset] of assets.entries()) {
      const where = [`${file.source}: status.components[${c}].assets[${a}]`];
      try {
        const found = classifyAsset(asset);
        if (typeof found === "string") {
          skipped.push({
            uri: displayUri(asset.image?.uri ?? asset.archive?.uri ?? ""),
            reason: found,
            where,
          });
        } else images.push({ kind: "image", reference: found, where });
      } catch (cause) {
        failures.push(new Fault(`cannot use ${where[0]}`, { cause, hint: MEND }));
      }
    }
  }
  throwAll(`cannot use what ${file.source} names`, failures);
  return { images: mergeImages(images), skipped: mergeSkipped(skipped) };
}

/** The image, or the reason why there is none. */
function classifyAsset({ image, archive }: Asset): Reference | string {
  if (image === undefined) {
    return archive === undefined ? "neither an image nor an archive" : SKIP_REASONS.archive;
  }
  const absence = absenceOf(image.uri);
  return absence === undefined ? parseImage(image.uri, image.imageDigest) : SKIP_REASONS[absence];
}
