import type { Asking } from './asking.ts';
import type { RequestObject, StreamEvents, StreamKind } from './call.ts';
import type { ActingParts, RemoteParts } from './remote-parts.ts';
import { RemoteReader } from './remote-reader.ts';

/** A link whose requests name the agent that makes them, so that the server can judge by the grants of that agent. */
class ActingLink implements Asking {
  readonly #link: Asking;
  readonly #agent: string;

  constructor(link: Asking, agent: string) {
    this.#link = link;
    this.#agent = agent;
  }

  get hello() {
    return this.#link.hello;
  }

  get position() {
    return this.#link.position;
  }

  get status() {
    return this.#link.status;
  }

  get now() {
    return this.#link.now;
  }

  saw(position: number | undefined): void {
    this.#link.saw(position);
  }

  lostSince(at: number) {
    return this.#link.lostSince(at);
  }

  ask(request: RequestObject, repeats?: boolean) {
    return this.#link.ask(this.#named(request), repeats);
  }

  stream(request: RequestObject, events: StreamEvents, kind: StreamKind) {
    return this.#link.stream(this.#named(request), events, kind);
  }

  #named(request: RequestObject): RequestObject {
    return { ...request, as: this.#agent };
  }
}

/** Returns the parts of a client with which a handle acts as an agent. */
export function actingAs(parts: RemoteParts, agent: string): ActingParts {
  const link = new ActingLink(parts.link, agent);
  const reader = new RemoteReader(link, parts.outcomes);
  return { ...parts, link, reader, writer: parts.writer.over(link, reader) };
}
