import { useState } from "preact/hooks";
import { type ActiveSpeaker, FloorPriority } from "../../../../gen/squelch/v1/model_pb.js";
import type { EventPicture } from "../../model/eventPicture.js";
import { formatCount, timeOf } from "../../model/format.js";
import { searchIds } from "../../model/search.js";
import { Elapsed } from "../controls/clock.js";

const PRIORITIES: Readonly<Partial<Record<FloorPriority, string>>> = {
  [FloorPriority.DISPATCH]: "dispatch",
  [FloorPriority.IMMINENT_PERIL]: "imminent peril",
  [FloorPriority.EMERGENCY]: "emergency",
};

interface ChannelBoardProps {
  event: EventPicture;
  channelIds: readonly string[];
}

/** A tile for each channel with its speaker and talk time. A tile always keeps its place. */
export function ChannelBoard({ event, channelIds }: ChannelBoardProps) {
  const [text, setText] = useState("");
  const [isOnAirOnly, setOnAirOnly] = useState(false);
  const shown = searchIds(channelIds, text).filter((channelId) => !isOnAirOnly || event.speakers.has(channelId));
  return (
    <>
      <div class="toolbar">
        <input
          type="search"
          aria-label="Find a channel"
          placeholder={`Find among ${formatCount(channelIds.length, "channel")}`}
          value={text}
          onInput={(input) => setText(input.currentTarget.value)}
        />
        <label class="check">
          <input
            type="checkbox"
            checked={isOnAirOnly}
            onChange={(input) => setOnAirOnly(input.currentTarget.checked)}
          />
          On air only
        </label>
      </div>
      {shown.length === 0 && (
        <p class="empty">{channelIds.length === 0 ? "No channels yet" : "No channel contains this text"}</p>
      )}
      <ul class="board" aria-label="Channels">
        {shown.map((channelId) => (
          <Tile
            key={channelId}
            channelId={channelId}
            speaker={event.speakers.get(channelId)}
            isPaused={event.pause !== undefined}
            broadcasterId={event.pause?.broadcaster?.userId}
          />
        ))}
      </ul>
    </>
  );
}

interface TileProps {
  channelId: string;
  speaker: ActiveSpeaker | undefined;
  isPaused: boolean;
  broadcasterId: string | undefined;
}

function Tile({ channelId, speaker, isPaused, broadcasterId }: TileProps) {
  const isBroadcast = isPaused && speaker !== undefined && speaker.userId === broadcasterId;
  const state = isBroadcast ? "broadcast" : speaker !== undefined ? "speaking" : isPaused ? "paused" : "free";
  const mark = isBroadcast ? "broadcast" : speaker && PRIORITIES[speaker.priority];
  const sinceMs = timeOf(speaker?.startedAt);
  return (
    <li class="tile" data-state={state} data-channel={channelId}>
      <span class="lamp" aria-hidden="true" />
      <span class="name" title={channelId}>
        {channelId}
      </span>
      <span class="who">
        <span class="speaker">{speaker === undefined ? state : speaker.userName || speaker.userId}</span>
        {mark !== undefined && <span class="mark">{mark}</span>}
      </span>
      <span class="since">{sinceMs !== undefined && <Elapsed sinceMs={sinceMs} />}</span>
    </li>
  );
}
