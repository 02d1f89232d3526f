import type { Http } from "../http/client.ts";
import { download } from "../http/download.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { Fault } from "../oci/fault.ts";
import type { ByteStream } from "../oci/plan.ts";
import { answerFault } from "./answer.ts";

/** Nobody lists more places; a manifest could list millions. */
const MOST_PLACES = 16;

/** A foreign layer, and the registry whose manifest names it and does not have it itself. */
interface ForeignLayer {
  descriptor: Descriptor;
  /** Where the registry is: a public one may not send us to an address inside this network. */
  registry: URL;
  /** What the registry said. */
  refusal: Error;
  /** The first byte that is wanted. */
  from: number;
}

/**
 * Opens a foreign layer at the first of its `urls` that has it: over https only, and without credentials, since
 * the manifest's author chose the hosts (CVE-2020-15157). Fails naming the layer and what each place said.
 * Spec: image-spec descriptor.md, `urls`.
 */
export async function openForeign(
  { transport, policy }: Http,
  { descriptor, registry, refusal, from }: ForeignLayer,
): Promise<ByteStream> {
  const { digest, size, urls = [] } = descriptor;
  const failures: unknown[] = [refusal];
  for (const text of urls.slice(0, MOST_PLACES)) {
    try {
      const url = readPlace(text);
      const openAt = async (offset: number) => {
        const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
        const response = await transport({ method: "GET", url, headers, from: registry });
        if (response.status === 200 || response.status === 206) return response;
        throw await answerFault(response, { method: "GET", url });
      };
      let inHand: Response | undefined = await openAt(from);
      const next = async (offset: number) => {
        const response = inHand ?? (await openAt(offset));
        inHand = undefined;
        return response;
      };
      return download({ url, size, from, openAt: next, policy });
    } catch (error) {
      failures.push(error);
    }
  }
  const said = failures.map((error) => (error instanceof Error ? error.message : String(error)));
  throw new Fault(`cannot fetch the foreign layer ${digest}`, {
    cause: new Error(said.join("; ")),
    hint: "put the layer where its manifest says, or leave the image out",
  });
}

function readPlace(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw new Fault("one of its places is not a URL");
  if (url.protocol !== "https:") throw new Fault(`\`${url.host}\` would be asked without TLS`);
  // Whoever wrote the manifest has no login to give.
  url.username = "";
  url.password = "";
  return url;
}
