// OpenAI's own client with OpenTelemetry's instrumentation of it: no line of the calls changes.
import OpenAI from 'openai';

import { billTo, shutdown } from './telemetry.mjs';

const client = new OpenAI(); // OPENAI_API_KEY and OPENAI_BASE_URL

async function answer() {
  const completion = await client.chat.completions.create({
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'What is a usage event?' }],
  });
  console.log(completion.choices[0].message.content);
}

async function stream() {
  const chunks = await client.chat.completions.create({
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'And once more, slowly' }],
    stream: true,
    // Otherwise OpenAI does not say how many tokens a stream took, and the call is held: unmetered.
    stream_options: { include_usage: true },
  });
  for await (const chunk of chunks) {
    process.stdout.write(chunk.choices[0]?.delta.content ?? '');
  }
  process.stdout.write('\n');
}

async function respond() {
  const response = await client.responses.create({ model: 'gpt-4o-mini', input: 'What is a meter?' });
  console.log(response.output_text);
}

async function vector() {
  const { data } = await client.embeddings.create({ model: 'text-embedding-3-small', input: 'usage event' });
  console.log(`${data[0].embedding.length} dimensions`);
}

try {
  await billTo('alice', async () => {
    await answer();
    await respond();
  });
  await Promise.all([billTo('bob', stream), billTo('carol', vector)]);
} finally {
  await shutdown();
}
