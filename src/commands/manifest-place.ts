import { resolve as resolvePath } from "node:path";
import { displayUri, isHttp, schemeOf } from "../eksa/uri.ts";
import { Fault } from "../oci/fault.ts";
import { formatReference, parseReference, type Reference } from "../oci/reference.ts";

/** Where a manifest is; `name`: for messages. */
export type Place =
  | { kind: "file"; path: string; name: string }
  | { kind: "url"; url: string; name: string }
  | { kind: "oci"; reference: Reference; name: string };

/** Fails on what can be no place of a `what`, and on credentials in it. */
export function placeOf(text: string, what: "Release" | "Bundles", directory: string): Place {
  const scheme = schemeOf(text);
  if (scheme === undefined) return { kind: "file", path: resolvePath(directory, text), name: text };
  if (!isHttp(text) && scheme !== "oci") {
    throw new Fault(`cannot read a ${what} from \`${scheme}://\``, {
      hint: "give a file, an `https://` URL, or `oci://HOST/REPOSITORY:TAG`",
      kind: "usage",
    });
  }
  // A digest stands behind the host's slash.
  if (/^[^/]*\/\/[^/]*@/.test(text)) {
    throw new Fault(`cannot use a ${what} URL that holds credentials`, {
      hint:
        scheme === "oci"
          ? "arguments can be seen by everybody on this machine: save a login with `docker login`"
          : "arguments can be seen by everybody on this machine: fetch the file by other means and name it",
      kind: "usage",
    });
  }
  return isHttp(text) ? { kind: "url", url: text, name: displayUri(text) } : ociPlace(readReference(text));
}

export function ociPlace(reference: Reference): Place & { kind: "oci" } {
  return { kind: "oci", reference, name: `oci://${formatReference(reference)}` };
}

export function readReference(uri: string): Reference {
  const text = uri.replace(/^oci:\/\//i, "");
  try {
    return parseReference(text);
  } catch (cause) {
    throw new Fault("cannot use an `oci://` address", {
      cause,
      hint: "write it as `oci://HOST/REPOSITORY:TAG`",
      kind: "usage",
    });
  }
}
