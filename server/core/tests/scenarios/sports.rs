//! Football: what must not be conflated away of a match and of its market, and in which order it is told.

use expect_test::expect;

use super::check;

#[test]
fn a_goal_suspends_the_market_behind_its_last_odds() {
    check(
        "
            new m; new m.1x2; score m 1 home=0 away=0 period=1 clock=600; odds m.1x2 2 1:back=200,active=true 2:back=300,active=true; status m.1x2 3 OPEN
            open a; sub a m@1000 m.1x2@1000
            score m 4 clock=615; odds m.1x2 5 1:back=201
            score m 6 clock=630; odds m.1x2 7 1:back=202; odds m.1x2 8 2:back=299
            status m.1x2 9 SUSPENDED; score m 10 home=1 event
            wait 1200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack m@1000 m.1x2@1000 images=3
            0 a: info m | info m.1x2 | score m #1 home=0 away=0 period=1 clock=600 IMAGE | odds m.1x2 #3 1:back=200active=true 2:back=300active=true IMAGE | status m.1x2 #3 OPEN IMAGE
            0 a: complete
            0 a: heartbeat log:3
            0 a: score m #4 clock=615 | odds m.1x2 #5 1:back=201
            0 a: odds m.1x2 #8 1:back=202 2:back=299 merged=1 | status m.1x2 #9 SUSPENDED EVENT | score m #6 clock=630 | score m #10 home=1 EVENT
        "#]],
    );
}

#[test]
fn a_goal_that_is_taken_back_is_a_correction_and_the_market_opens_again() {
    check(
        "
            new m; new m.1x2; score m 1 home=1 away=0 clock=600; odds m.1x2 2 1:back=120,active=true; status m.1x2 3 SUSPENDED
            open a; sub a m@1000 m.1x2@1000
            score m 4 home=0 corrects
            odds m.1x2 5 1:back=200; status m.1x2 6 OPEN
            odds m.1x2 7 1:back=201
            wait 1200",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack m@1000 m.1x2@1000 images=3
            0 a: info m | info m.1x2 | score m #1 home=1 away=0 clock=600 IMAGE | odds m.1x2 #3 1:back=120active=true IMAGE | status m.1x2 #3 SUSPENDED IMAGE
            0 a: complete
            0 a: heartbeat log:3
            0 a: score m #4 home=0 CORRECTION EVENT
            0 a: odds m.1x2 #5 1:back=200 | status m.1x2 #6 OPEN EVENT
            1000 a: odds m.1x2 #7 1:back=201
        "#]],
    );
}

#[test]
fn the_final_whistle_closes_and_the_settlement_names_the_winner() {
    check(
        "
            new m; new m.1x2; score m 1 home=2 away=1 clock=5385 final=false; odds m.1x2 2 1:back=101,active=true 2:back=900,active=true; status m.1x2 3 OPEN
            open a; sub a m@5000 m.1x2@5000
            score m 4 clock=5400; odds m.1x2 5 1:back=101
            status m.1x2 6 CLOSED; score m 7 final=true; status m 7 CLOSED
            wait 1000
            odds m.1x2 8 1:active=false,result=1 2:active=false,result=2; status m.1x2 8 SETTLED",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack m@5000 m.1x2@5000 images=3
            0 a: info m | info m.1x2 | score m #1 home=2 away=1 clock=5385 final=false IMAGE | odds m.1x2 #3 1:back=101active=true 2:back=900active=true IMAGE | status m.1x2 #3 OPEN IMAGE
            0 a: complete
            0 a: heartbeat log:3
            0 a: score m #4 clock=5400 | odds m.1x2 #5 1:back=101
            0 a: status m.1x2 #6 CLOSED EVENT | score m #7 final=true EVENT | status m #7 CLOSED EVENT
            1000 a: odds m.1x2 #8 1:active=falseresult=1 2:active=falseresult=2 EVENT | status m.1x2 #8 SETTLED EVENT
        "#]],
    );
}

#[test]
fn an_abandoned_match_voids_its_market() {
    check(
        "
            new m; new m.1x2; score m 1 home=1 away=0 clock=600; odds m.1x2 2 1:back=120,active=true 2:back=400,active=true
            open a; sub a m@0 m.1x2@0
            status m 3 CANCELLED; odds m.1x2 4 1:result=3 2:result=3; status m.1x2 4 CANCELLED
            odds m.1x2 5 1:result=4 2:result=4 corrects",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack m@0 m.1x2@0 images=2
            0 a: info m | info m.1x2 | score m #1 home=1 away=0 clock=600 IMAGE | odds m.1x2 #2 1:back=120active=true 2:back=400active=true IMAGE
            0 a: complete
            0 a: heartbeat log:2
            0 a: status m #3 CANCELLED EVENT | odds m.1x2 #4 1:result=3 2:result=3 EVENT | status m.1x2 #4 CANCELLED EVENT
            0 a: odds m.1x2 #5 1:result=4 2:result=4 CORRECTION EVENT
        "#]],
    );
}

#[test]
fn clock_and_period_are_state_and_odds_of_each_outcome_their_own() {
    check(
        "
            new m; new m.1x2; score m 1 home=0 away=0 period=1 clock=2685; odds m.1x2 2 1:back=200 2:back=300 3:back=400
            open a; sub a m@1000 m.1x2@1000
            score m 3 clock=2700
            score m 4 period=2 clock=2715; score m 5 clock=2730; odds m.1x2 6 3:back=410; odds m.1x2 7 1:back=199; odds m.1x2 8 3:back=420
            wait 1000",
        expect![[r#"
            0 a: welcome FRESH heartbeat=5000
            0 a: ack m@1000 m.1x2@1000 images=2
            0 a: info m | info m.1x2 | score m #1 home=0 away=0 period=1 clock=2685 IMAGE | odds m.1x2 #2 1:back=200 2:back=300 3:back=400 IMAGE
            0 a: complete
            0 a: heartbeat log:2
            0 a: score m #3 clock=2700
            0 a: odds m.1x2 #8 1:back=199 3:back=420 merged=2
            1000 a: score m #5 period=2 clock=2730 merged=1
        "#]],
    );
}

#[test]
fn who_comes_back_hears_of_every_goal_and_of_the_result() {
    check(
        "
            new m; score m 1 home=0 away=0
            score m 2 home=1 event; score m 3 clock=700; score m 4 home=0 corrects; score m 5 home=1 event; score m 6 final=true; status m 6 CLOSED
            open a resume=log:1; sub a m@1000",
        expect![[r#"
            0 a: welcome RESUMED heartbeat=5000
            0 a: ack m@1000 images=2
            0 a: info m | score m #2 home=1 EVENT | score m #4 home=0 CORRECTION EVENT | score m #5 home=1 EVENT | score m #6 final=true EVENT | status m #6 CLOSED EVENT | score m #6 home=1 away=0 clock=700 final=true IMAGE | status m #6 CLOSED IMAGE
            0 a: complete
            0 a: heartbeat log:6
        "#]],
    );
}
