import { formatCell } from "./table.js";

const WIDTH = 720;
const LABEL_WIDTH = 250;
const VALUE_WIDTH = 90;
const ROW_HEIGHT = 24;
const TITLE_HEIGHT = 36;
const OWN_COLOUR = "#1f6feb";
const PEER_COLOUR = "#8b949e";

export interface Bar {
  label: string;
  value: number;
}

/** Draws horizontal bars as SVG, in the given order, each with its value. The bars of Squelch are highlighted. */
export function drawBars(title: string, unit: string, bars: readonly Bar[]): string {
  const height = TITLE_HEIGHT + bars.length * ROW_HEIGHT + 8;
  const longest = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  const rows = bars.map(({ label, value }, index) => {
    const top = TITLE_HEIGHT + index * ROW_HEIGHT;
    const width = Math.max((value / longest) * (WIDTH - LABEL_WIDTH - VALUE_WIDTH), 1);
    const colour = label.startsWith("Squelch") ? OWN_COLOUR : PEER_COLOUR;
    return [
      `<text x="${LABEL_WIDTH - 8}" y="${top + 16}" text-anchor="end">${escapeXml(label)}</text>`,
      `<rect x="${LABEL_WIDTH}" y="${top + 3}" width="${width.toFixed(1)}" height="${ROW_HEIGHT - 6}" fill="${colour}"/>`,
      `<text x="${(LABEL_WIDTH + width + 6).toFixed(1)}" y="${top + 16}">${formatCell(value)} ${unit}</text>`,
    ].join("\n");
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"
 font-family="sans-serif" font-size="13">
<title>${escapeXml(title)}</title>
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="8" y="22" font-weight="bold">${escapeXml(title)}</text>
${rows.join("\n")}
</svg>
`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
