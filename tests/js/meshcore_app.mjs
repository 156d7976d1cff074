// Drives the published meshcore.js over TCP: one JSON line in is one call, one JSON line out is its
// result or an event. Usage: node meshcore_app.mjs HOST PORT
import { createInterface } from "node:readline";

import { Constants, TCPConnection } from "@liamcottle/meshcore.js";

const [host, port] = process.argv.slice(2);

function plain(value) {
    if (value instanceof Uint8Array) {
        return Buffer.from(value).toString("hex");
    }
    if (Array.isArray(value)) {
        return value.map(plain);
    }
    if (value !== null && typeof value === "object") {
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
    }
    return value;
}

function parsed(value) {
    // Bytes come as {"hex": "..."}.
    return value !== null && typeof value === "object" && "hex" in value
        ? new Uint8Array(Buffer.from(value.hex, "hex"))
        : value;
}

function tell(message) {
    process.stdout.write(JSON.stringify(plain(message)) + "\n");
}

const connection = new TCPConnection(host, Number(port));
connection.on(Constants.PushCodes.MsgWaiting, () => tell({ event: "waiting" }));
connection.on(Constants.PushCodes.SendConfirmed, (push) => tell({ event: "confirmed", ...push }));
connection.on("disconnected", () => process.exit(0));
connection.on("connected", async () => {
    tell({ event: "connected" });
    for await (const line of createInterface({ input: process.stdin })) {
        const { call, args = [] } = JSON.parse(line);
        try {
            tell({ result: (await connection[call](...args.map(parsed))) ?? null });
        } catch (error) {
            tell({ error: String(error) });
        }
    }
    await connection.close();
});
await connection.connect();
