// One thing that an application does with OpenAI's own client, beside examples/nodejs/telemetry.mjs:
//   node --import ./telemetry.mjs openai_calls.mjs NAME
import OpenAI from 'openai';

import { billTo, shutdown } from './telemetry.mjs';

const client = new OpenAI({ maxRetries: 1 });
const chat = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Does it rain in Lisbon?' }] };
const response = { model: 'gpt-4o-mini', input: 'Does it rain in Lisbon?' };

async function read(stream) {
  for await (const _ of await stream);
}

const calls = {
  chat: () => client.chat.completions.create(chat),
  chat_stream: () =>
    read(client.chat.completions.create({ ...chat, stream: true, stream_options: { include_usage: true } })),
  chat_stream_without_usage: () => read(client.chat.completions.create({ ...chat, stream: true })),
  responses: () => client.responses.create(response),
  responses_stream: () => read(client.responses.create({ ...response, stream: true })),
  embed: () => client.embeddings.create({ model: 'text-embedding-3-small', input: 'usage event' }),
  retried: () => client.chat.completions.create(chat),
  refused: () => client.chat.completions.create(chat),
};

const call = calls[process.argv[2]];
const user = process.env.USER_IN_BAGGAGE;
await (user ? billTo(user, call) : call()).catch((error) => console.log(error.name));
await shutdown();
