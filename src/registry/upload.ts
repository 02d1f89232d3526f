import { tmpdir } from "node:os";
import { isRetryable, mostTries, retried } from "../http/retry.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { Fault, faultKind } from "../oci/fault.ts";
import type { Content } from "../oci/plan.ts";
import { AnswerFault } from "./answer.ts";
import { nextAddress, sendUpload, type UploadAnswer, type UploadRequest } from "./upload-address.ts";
import { arrivedAfter, isDenial, isUnsupported, MethodRefused } from "./upload-answer.ts";
import { UploadBody } from "./upload-body.ts";
import type { UploadMethod } from "./upload-manner.ts";
import { chunksLost, doubtful, explainedEmpty, refusable } from "./upload-refusal.ts";
import { askUpload, beginUpload, type Session } from "./upload-session.ts";
import { holdsBlob, type UploadTarget } from "./upload-target.ts";
import { UploadWindow, WINDOW_CHUNK } from "./upload-window.ts";
import { warnOf } from "./warning.ts";

const OCTETS = { "content-type": "application/octet-stream" };
/** Times that a registry may say that it stands elsewhere than it did. */
const MOST_STRAYS = 8;

/**
 * Sends a blob: begin, fill, close with the digest. What a registry refuses is tried another way
 * (`UploadMethod`). Where the connection or the registry breaks, the upload goes on from the byte that the
 * registry says it has, or starts over in a session of its own. Content that can be read once only goes in chunks, or
 * through a temporary file where the registry does not take them.
 * `session`: one that is open already, e.g. from a mount that was not granted; used for the first try.
 */
export async function upload(
  target: UploadTarget,
  descriptor: Descriptor,
  { content, session }: { content: Content; session?: URL | undefined },
): Promise<void> {
  const blob = new BlobUpload(target, descriptor, content);
  await blob.run(session);
}

class BlobUpload {
  readonly #target: UploadTarget;
  readonly #descriptor: Descriptor;
  readonly #body: UploadBody;
  /** What keeps content that can be read once only. */
  readonly #window: UploadWindow | undefined;
  readonly #refusals = new Map<UploadMethod, unknown>();
  /** Open, and not yet used. */
  #open: Session | undefined;
  /** Where a request broke off. */
  #broken: URL | undefined;
  #brokenBy: unknown;
  /** Where the digest was sent last. */
  #closing: URL | undefined;
  /** The registry has shown that it keeps more than the first chunk, and that it can tell. */
  #isTrusted = false;
  /** The smallest chunk that the registry takes; many say so only when an upload begins. */
  #minimum = 0;
  /** The most that a broken upload was found to have kept. */
  #furthest = 0;

  constructor(target: UploadTarget, descriptor: Descriptor, content: Content) {
    this.#target = target;
    this.#descriptor = descriptor;
    this.#window = content.isOnePass ? new UploadWindow(content, descriptor) : undefined;
    this.#body = new UploadBody(this.#window ?? content, descriptor.size);
  }

  async run(session: URL | undefined): Promise<void> {
    if (session !== undefined) this.#open = { url: session, arrived: 0 };
    const policy = { ...this.#target.client.http.policy, about: this.#descriptor.digest };
    const most = (error: unknown) => mostTries(policy, error);
    const what = () => `upload of ${this.#descriptor.digest}`;
    try {
      for (;;) {
        const before = this.#furthest;
        try {
          return await retried(policy, what, () => this.#attempt(), most);
        } catch (error) {
          if (!isRetryable(error) || policy.signal.aborted) throw error;
          // As long as each round of tries gets further, a bad line is only slow.
          if (this.#furthest <= before) throw error;
        }
      }
    } catch (error) {
      const host = this.#closing?.host;
      throw this.#descriptor.size > 0 || host === undefined ? error : explainedEmpty(error, host);
    } finally {
      await this.#body.close();
      await this.#window?.close();
    }
  }

  async #attempt(): Promise<void> {
    const kept = await this.#kept();
    if (kept === "stored") return;
    if (kept !== undefined && (await this.#worked("chunks", kept))) return;
    for (;;) {
      const method = this.#nextMethod();
      if (method === undefined) await this.#spool();
      else if (await this.#worked(method)) return;
    }
  }

  /** The window, while what it has let go cannot be sent again. */
  get #passing(): UploadWindow | undefined {
    return this.#window?.isWhole === false ? this.#window : undefined;
  }

  #nextMethod(): UploadMethod | undefined {
    const tried = new Set(this.#refusals.keys());
    if (this.#passing !== undefined) tried.add("patch").add("put");
    return this.#target.manner.methodFor(this.#descriptor.size, tried);
  }

  /** No way is left but for content that can be read again: makes it such, where it can be. */
  async #spool(): Promise<void> {
    const window = this.#passing;
    if (window === undefined) throw this.#refusal();
    if (window.start > 0) throw window.gone(this.#refusal());
    const { client, repository, warn } = this.#target;
    const { host } = await client.urlOf({ kind: "startUpload", repository });
    warn(`${host} does not take blobs in chunks: large ones are kept in ${tmpdir()} on their way there`);
    await window.spool();
  }

  /** The gravest reason, else the first: later ones come from ways that are less usual. */
  #refusal(): unknown {
    const reasons = [...this.#refusals.values()];
    const fallback = new Fault(`cannot upload to ${this.#target.repository}: every way is refused`);
    return reasons.find((reason) => faultKind(reason) === "mismatch") ?? reasons[0] ?? fallback;
  }

  /** False when the registry does not take blobs this way; any other failure is thrown. */
  async #worked(method: UploadMethod, kept?: Session): Promise<boolean> {
    const session = kept ?? (await this.#begin());
    try {
      await this.#fill(method, session);
    } catch (error) {
      if (!(error instanceof MethodRefused)) throw error;
      this.#refusals.set(method, error.cause);
      return false;
    }
    // Once it is certain that another way works: it may have been the session's fault.
    for (const [refused, why] of this.#refusals) if (isUnsupported(why)) this.#target.manner.refuse(refused);
    return true;
  }

  async #fill(method: UploadMethod, session: Session): Promise<void> {
    const { size } = this.#descriptor;
    if (size === 0) return this.#close(session.url);
    switch (method) {
      case "patch": {
        const answer = await refusable(this.#target, size, () => this.#patch(session.url, 0, size));
        const filled = nextAddress(answer);
        // Bytes that went twice, for a 401 in between, may also be there twice.
        return this.#body.wasReplayed ? doubtful(() => this.#close(filled)) : this.#close(filled);
      }
      case "put":
        return refusable(this.#target, size, () =>
          this.#close(session.url, (url) => this.#body.open(url, 0, size)),
        );
      case "chunks": {
        const filled = await this.#sendChunks(session);
        // The registry may have dropped some, whatever it said.
        return doubtful(() => this.#close(filled));
      }
    }
  }

  async #begin(): Promise<Session> {
    const session = this.#open ?? (await beginUpload(this.#target, this.#descriptor.digest));
    this.#open = undefined;
    this.#minimum = session.minimum ?? this.#minimum;
    return session;
  }

  async #sendChunks(session: Session): Promise<URL> {
    const { size } = this.#descriptor;
    const { manner } = this.#target;
    let { url, arrived } = session;
    for (let strays = 0; arrived < size; ) {
      const end = Math.min(size, arrived + this.#chunkBytes());
      try {
        const answer = await this.#patch(url, arrived, end, { "content-range": `${arrived}-${end - 1}` });
        const now = arrivedAfter(answer, end);
        if (now <= arrived || now > end) throw chunksLost(this.#target, answer.url, now);
        const isFirst = arrived === 0;
        arrived = now;
        url = nextAddress(answer);
        if (!isFirst) url = await this.#letGo(url, now);
      } catch (error) {
        if (!(error instanceof AnswerFault) || isDenial(error)) throw error;
        const kept = await this.#ask(url);
        const strayed = error.status === 416 && kept !== undefined && kept.arrived !== arrived;
        const isTooLong = error.status === 413 || error.status === 416;
        const shrinks = () => isTooLong && manner.shrinkChunks(end - arrived, this.#minimum);
        if (!(strayed && ++strays < MOST_STRAYS) && !shrinks()) throw new MethodRefused(error);
        ({ url, arrived } = kept ?? (await this.#begin()));
      }
    }
    return url;
  }

  #chunkBytes(): number {
    const minimum = this.#minimum;
    const bytes = this.#target.manner.chunkBytes(minimum);
    if (this.#passing === undefined) return bytes;
    if (minimum <= WINDOW_CHUNK) return Math.min(bytes, WINDOW_CHUNK);
    throw new MethodRefused(new Fault(`cannot keep a chunk of ${minimum} bytes until it has arrived`));
  }

  /**
   * What has arrived need not be kept. It is believed once the registry has said so by itself: what one answers to
   * a chunk may only repeat what was sent.
   */
  async #letGo(url: URL, arrived: number): Promise<URL> {
    const window = this.#passing;
    if (window === undefined) return url;
    const kept = this.#isTrusted ? { url, arrived } : await this.#ask(url);
    if (kept?.arrived !== arrived) throw chunksLost(this.#target, url, kept?.arrived);
    this.#isTrusted = true;
    window.release(arrived);
    return kept.url;
  }

  async #patch(
    url: URL,
    from: number,
    to: number,
    range: Record<string, string> = {},
  ): Promise<UploadAnswer> {
    const headers = { ...OCTETS, "content-length": String(to - from), ...range };
    const body = (at: URL) => this.#body.open(at, from, to);
    // ECR answers 201 where the specification says 202.
    return this.#send({ method: "PATCH", url, headers, body }, [201, 202, 204]);
  }

  /** Ends the upload; with `body` when the blob goes along. */
  async #close(filled: URL, body?: (url: URL) => Bun.BodyInit): Promise<void> {
    const { digest, size } = this.#descriptor;
    const url = new URL(filled);
    // Added to the query as it stands: a registry may have signed it.
    url.search += `${url.search === "" ? "?" : "&"}digest=${encodeURIComponent(digest)}`;
    const whole = body === undefined ? {} : { body };
    const headers = { ...OCTETS, ...(body === undefined ? {} : { "content-length": String(size) }) };
    this.#closing = filled;
    await this.#send({ method: "PUT", url, headers, ...whole, answers: "late" }, [201, 204], filled);
  }

  /** `session`: where to ask what has arrived when the request breaks. */
  async #send(request: UploadRequest, statuses: number[], session = request.url): Promise<UploadAnswer> {
    this.#body.begin();
    const watched = { ...request, assertBody: () => this.#body.assertThere() };
    try {
      const answer = await sendUpload(this.#target, watched, statuses);
      warnOf(answer.response, answer.url, this.#target.warn);
      return answer;
    } catch (error) {
      const reason = this.#body.reasonOf(error);
      if (isRetryable(reason)) {
        this.#broken = session;
        this.#brokenBy = reason;
      }
      throw reason;
    }
  }

  /** What a broken upload has left: a session that can be filled up, or even the blob. */
  async #kept(): Promise<Session | "stored" | undefined> {
    const url = this.#broken;
    if (url === undefined) return;
    this.#broken = undefined;
    const session = await this.#ask(url);
    const [wasClosing, size] = [this.#closing !== undefined, this.#descriptor.size];
    this.#closing = undefined;
    const mustGoOn = (this.#passing?.start ?? 0) > 0;
    if (session !== undefined && session.arrived > 0 && session.arrived <= size) {
      this.#furthest = Math.max(this.#furthest, session.arrived);
      if (session.arrived === size || mustGoOn || this.#takesChunks()) return session;
    }
    // The answer may have been lost on its way, or a proxy lost patience while the registry was hashing.
    if (wasClosing && (await holdsBlob(this.#target, this.#descriptor.digest))) return "stored";
    if (mustGoOn) throw this.#passing?.gone(this.#brokenBy);
    return;
  }

  /** What has arrived; undefined when the registry does not say. */
  async #ask(url: URL): Promise<Session | undefined> {
    try {
      return await askUpload(this.#target, url);
    } catch (error) {
      if (!isRetryable(error)) throw error;
      if (this.#passing === undefined) return;
      // What has gone by can only go on where it is: the session is asked again.
      this.#broken = url;
      throw error;
    }
  }

  #takesChunks(): boolean {
    return this.#target.manner.takesChunks() && !this.#refusals.has("chunks");
  }
}
