// SPDX-License-Identifier: BSD-2-Clause
//! Input of containers and of programs that are started in them.

use super::*;

#[test]
fn input_goes_to_those_who_were_started_to_have_some() {
    with(|mut test| {
        let id = test.create("one").unwrap();
        let none = Came::Answer(Err(Error::BadState));
        let input = |of| Request::Input { of, bytes: b"hi" };
        assert_eq!(test.holder(id, &input(0)), none);
        let terminal = true;
        answer(test.holder(id, &Request::Attach { terminal })).unwrap();
        test.ask(id, HandleOp::Start);
        assert_eq!(test.holder(id, &Request::Attach { terminal }), none);
        let setup = test.setup(id);
        let setup = Setup::read(&setup).unwrap();
        assert!(setup.input && setup.container.process.terminal);
        answer(test.holder(id, &input(0))).unwrap();
        let fetched = bytes(&answer(test.server(id, ServerOp::Next, &[])).unwrap());
        let expected = Command::Input {
            of: 0,
            bytes: b"hi",
        };
        assert_eq!(postcard::from_bytes::<Command<'_>>(&fetched), Ok(expected));
        for streams in [Streams::Output, Streams::Input, Streams::Terminal] {
            let exec = Request::Exec {
                arguments: "cat\0",
                environment: "",
                cwd: "",
                streams,
            };
            let of = word(&answer(test.holder(id, &exec)).unwrap()) as u32;
            answer(test.server(id, ServerOp::Next, &[])).unwrap();
            let expected = match streams {
                Streams::Output => none.clone(),
                _ => Came::Answer(Ok(vec![0])),
            };
            assert_eq!(test.holder(id, &input(of)), expected);
            if streams != Streams::Output {
                answer(test.server(id, ServerOp::Next, &[])).unwrap();
            }
        }
        assert_eq!(test.holder(id, &input(99)), none);
        // Until there is room, nothing more is taken for that one.
        let full = Came::Answer(Err(Error::TableFull));
        assert_eq!(test.holder(id, &input(0)), full);
        assert_eq!(
            test.server(id, ServerOp::Taken, &[99]),
            Came::Answer(Ok(vec![]))
        );
        assert_eq!(test.holder(id, &input(0)), full);
        assert_eq!(
            test.server(id, ServerOp::Taken, &[0]),
            Came::Answer(Ok(vec![]))
        );
        answer(test.holder(id, &input(0))).unwrap();
        // One without any.
        let other = test.running("one");
        assert_eq!(test.holder(other, &input(0)), none);
    });
}
