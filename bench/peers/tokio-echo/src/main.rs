//! A peer of the benchmark: TCP echo with tokio, a task and a read buffer per connection. With one thread its runtime is the
//! one for the calling thread, with more the one that shares work. Usage: tokio-echo PORT THREADS

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

async fn echo(mut connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = connection.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        connection.write_all(&buffer[..count]).await?;
    }
}

async fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        match listener.accept().await {
            Ok((connection, _)) => drop(tokio::spawn(echo(connection))),
            Err(error) => eprintln!("tokio-echo: accept: {error}"),
        }
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u16>());
    let (Some(Ok(port)), Some(Ok(threads))) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: tokio-echo PORT THREADS");
        std::process::exit(2);
    };
    let runtime = if threads == 1 {
        Builder::new_current_thread().enable_io().build()?
    } else {
        Builder::new_multi_thread().worker_threads(threads.into()).enable_io().build()?
    };
    // On one of its threads, and not on this one, which would be one more than are compared.
    let serving = runtime.spawn(serve(port));
    runtime.block_on(serving).expect("the task that accepts does not panic")
}
