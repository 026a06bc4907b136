// Answers requests on a NATS subject with their bytes, with the project's own client.
import { connect } from "@nats-io/transport-node";

const connection = await connect({ servers: `127.0.0.1:${process.argv[2]}` });
connection.subscribe("echo", { callback: (_error, message) => message.respond(message.data) });
await connection.flush();
console.log(JSON.stringify({ port: Number(process.argv[2]) }));
