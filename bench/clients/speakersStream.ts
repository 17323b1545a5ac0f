import { ChannelService, type WatchChannelsResponse } from "../../gen/squelch/v1/channel_service_pb.js";
import type { GrpcClient } from "../../src/lib/grpcService.js";

const ARRIVAL_TIMEOUT_MS = 30_000;

/** A WatchChannels stream of one event, and the speakers that it has reported. */
export class SpeakersStream {
  readonly #holders = new Map<string, string>();
  readonly #end: () => void;
  /** The awaited state: these channels have that holder. */
  #awaited: { holder: string; missing: Set<string>; done(error?: Error): void } | undefined;

  constructor(client: GrpcClient, eventId: string) {
    const stream = client.serverStream(ChannelService.method.watchChannels, { eventIds: [eventId] });
    stream.on("data", ({ payload }: WatchChannelsResponse) => {
      if (payload.case === "snapshot") {
        for (const speaker of payload.value.speakers) this.#note(speaker.channelId, speaker.userId);
      } else if (payload.case === "changed") {
        this.#note(payload.value.channelId, payload.value.holder?.userId ?? "");
      }
    });
    stream.on("error", (error) => this.#awaited?.done(error));
    this.#end = () => stream.cancel();
  }

  /**
   * Resolves when the stream has reported that holder for the last of these channels. An empty holder means that the
   * channel is free.
   */
  async until(channelIds: readonly string[], holder: string): Promise<void> {
    const missing = new Set(channelIds.filter((channelId) => this.#holders.get(channelId) !== holder));
    if (missing.size === 0) return;
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error) => {
        clearTimeout(timer);
        this.#awaited = undefined;
        if (error === undefined) resolve();
        else reject(error);
      };
      const timer = setTimeout(() => done(new Error(`${missing.size} channels were not reported`)), ARRIVAL_TIMEOUT_MS);
      this.#awaited = { holder, missing, done };
    });
  }

  close(): void {
    this.#end();
  }

  #note(channelId: string, holder: string): void {
    this.#holders.set(channelId, holder);
    if (this.#awaited?.holder !== holder) return;
    this.#awaited.missing.delete(channelId);
    if (this.#awaited.missing.size === 0) this.#awaited.done();
  }
}
