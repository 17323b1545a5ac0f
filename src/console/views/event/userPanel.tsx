import { useMemo, useState } from "preact/hooks";
import type { EventPicture } from "../../model/eventPicture.js";
import { formatCount } from "../../model/format.js";
import { listUsers, searchUsers, type UserRow } from "../../model/search.js";
import { VirtualList } from "../controls/virtualList.js";
import { UserEditor } from "./userEditor.js";

const ROW_HEIGHT = 44;
/** The number of channels that a row names. */
const MAX_NAMED = 4;

interface UserPanelProps {
  event: EventPicture;
  channelIds: readonly string[];
}

/** The users of an event, with search. A click opens a user. */
export function UserPanel({ event, channelIds }: UserPanelProps) {
  const [text, setText] = useState("");
  const [openId, setOpenId] = useState<string>();
  // Sorting thousands of users is slow, so it happens only when users are added or removed.
  const order = useMemo(() => listUsers(event.users), [event, event.rosterVersion]);
  const all = useMemo(
    () => order.map((userId) => ({ userId, channelIds: event.users.get(userId) ?? [] })),
    [event, event.usersVersion, order],
  );
  const rows = useMemo(() => searchUsers(all, text), [all, text]);
  const entered = text.trim();
  const isNew = entered !== "" && !(event.users.get(entered)?.length ?? 0);
  return (
    <>
      <div class="toolbar">
        <input
          type="search"
          aria-label="Find a user"
          placeholder={`Find among ${formatCount(all.length, "user")}, by id or channel`}
          value={text}
          onInput={(input) => setText(input.currentTarget.value)}
        />
        <span class="hint" role="status">
          {entered === "" ? "" : `${formatCount(rows.length, "user")} found`}
        </span>
        <button type="button" aria-disabled={!isNew} onClick={() => isNew && setOpenId(entered)}>
          {isNew ? `Assign ${entered}` : "Assign new user"}
        </button>
      </div>
      <VirtualList
        label="Users"
        rows={rows}
        rowHeight={ROW_HEIGHT}
        keyOf={({ userId }) => userId}
        onOpen={({ userId }) => setOpenId(userId)}
        draw={drawUser}
      />
      {rows.length === 0 && (
        <p class="empty">
          {entered === "" ? "No user has a channel yet. Enter an id to assign one." : "No user matches this text"}
        </p>
      )}
      {openId !== undefined && (
        <UserEditor
          key={openId}
          event={event}
          userId={openId}
          channelIds={channelIds}
          onClose={() => setOpenId(undefined)}
        />
      )}
    </>
  );
}

function drawUser({ userId, channelIds }: UserRow) {
  return (
    <>
      <span class="name">{userId}</span>
      <span class="chips">
        {channelIds.slice(0, MAX_NAMED).map((channelId) => (
          <span key={channelId} class="chip">
            {channelId}
          </span>
        ))}
        {channelIds.length > MAX_NAMED && <span class="hint">and {channelIds.length - MAX_NAMED} more</span>}
      </span>
    </>
  );
}
