import type { RemoteFile } from "../archive/remote.ts";
import { cancelBody, discard } from "../http/body.ts";
import type { Http } from "../http/client.ts";
import { download } from "../http/download.ts";
import { redactUrl } from "../http/redact.ts";
import { PassingStatus } from "../http/retry.ts";
import { NetworkError } from "../http/transport.ts";
import { causes, Fault } from "../oci/fault.ts";
import { AnswerFault, answerFault } from "../registry/answer.ts";

/** A server that sends a file whole or not at all. */
class NoParts extends Fault {}

/** A file behind a URL, to be read in parts. Fails where it is not to be had, or its server does not send parts. */
export async function openRemoteFile({ transport, policy }: Http, url: URL): Promise<RemoteFile> {
  const name = redactUrl(url);
  const ask = async (from: number, to: number): Promise<Response> => {
    const request = { method: "GET", url, headers: { range: `bytes=${from}-${to - 1}` } } as const;
    const response = await transport(request);
    if (response.status === 206) return response;
    if (response.status !== 200) throw await answerFault(response, request);
    await cancelBody(response);
    throw noParts(url);
  };
  const response = await ask(0, 1);
  const size = sizeOf(response);
  await discard(response, url);
  if (size === undefined) throw noParts(url);
  const openAt = async (from: number, to: number): Promise<Response> => {
    const answer = await ask(from, to);
    const now = sizeOf(answer) ?? size;
    if (now === size) return answer;
    await cancelBody(answer);
    throw new Fault(`cannot read on in ${name}: it had ${size} bytes, and has ${now} now`, {
      kind: "mismatch",
    });
  };
  async function* read(from: number, to: number): AsyncGenerator<Uint8Array> {
    if (from < to) yield* download({ url, size: to, from, openAt: (at) => openAt(at, to), policy });
  }
  return { name, size, read };
}

/** Whether a remote file is not to be had, as opposed to being wrong. */
export function isUnavailable(error: unknown): boolean {
  return causes(error).some(
    (link) =>
      link instanceof NetworkError ||
      link instanceof PassingStatus ||
      link instanceof AnswerFault ||
      link instanceof NoParts,
  );
}

/** What the answer to a range says that the whole has. Spec: RFC 9110, 14.4. */
function sizeOf({ headers }: Response): number | undefined {
  const text = /^bytes \d+-\d+\/(\d{1,15})$/.exec(headers.get("content-range") ?? "")?.[1];
  return text === undefined ? undefined : Number(text);
}

function noParts(url: URL): NoParts {
  return new NoParts(
    `cannot read a part of ${redactUrl(url)}: ${url.host} sends all of it, or does not say how much that is`,
  );
}
